/** `tapdisk-ts detach`: gives a running disk's volume back. */
import { defineCommand } from '../command';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';
import { releaseDevice } from '../running/release-device';

export const detach = defineCommand({
  usage: 'detach <volume>',
  summary: 'Finish what is in flight and stop serving a volume',
  examples: [
    ['tapdisk-ts detach main/disk1', 'Its process ends, if it serves nothing else'],
    ['tapdisk-ts detach main/disk1 --remove-device', 'Also remove the ring that attach made'],
  ],
  options: (yargs) =>
    diskOptions(yargs).option('remove-device', {
      type: 'boolean',
      default: false,
      describe: 'Remove the stand-in device, or free the blktap2 ring',
    }),
  async run(options, { io, output }) {
    const found = await findDisk(options, io);
    await askDisk(found, 'detach', {});
    const { volume, pid, device } = found.disk;
    if (options['remove-device'] && device !== null) releaseDevice(device);
    output.result({ volume, pid, device }, `${volume} detached from process ${pid}`);
  },
});
