/** `tapdisk-ts detach`: gives a running disk's volume back. */
import { detachDomainDisk } from '../../host/domain-disk';
import { backEndOfDevice } from '../../host/xen-device';
import type { BackEndPath } from '../../xenstore/back-end-path';
import { openXenStore } from '../../xenstore/open-xenstore';
import { defineCommand } from '../command';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';
import { releaseDevice } from '../running/release-device';
import type { CommandIo } from '../io';

export const command = defineCommand({
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
    const { volume, pid, device, domid } = found.disk;
    const backEnd = backEndOfDevice(device);
    if (backEnd !== null) {
      await detachFromDomain(backEnd, io);
      output.result({ volume, pid, device }, `${volume} detached from domain ${domid}`);
      return;
    }
    await askDisk(found, 'detach', {});
    if (options['remove-device'] && device !== null) releaseDevice(device);
    output.result({ volume, pid, device }, `${volume} detached from process ${pid}`);
  },
});

async function detachFromDomain(backEnd: BackEndPath, io: CommandIo): Promise<void> {
  const store = await openXenStore({ env: io.env });
  try {
    await detachDomainDisk(store, backEnd);
  } finally {
    store.close();
  }
}
