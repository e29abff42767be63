/** `tapdisk-ts handover`: moves a live disk to a process that stands by for it. */
import { defineCommand } from '../command';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts handover main/disk1', 'To the only one that stands by'],
    ['tapdisk-ts handover main/disk1 --to dom0b:4711', 'To one of several'],
  ],
  options: (yargs) =>
    diskOptions(yargs).option('to', {
      type: 'string',
      requiresArg: true,
      describe: 'HOST:PID of the process that shall serve it',
    }),
  async run(options, { io, output }) {
    const found = await findDisk(options, io);
    const { to } = options;
    const handed = await askDisk(found, 'handOver', to === undefined ? {} : { to });
    const { volume, pid } = found.disk;
    const blackoutMs = Math.round(handed.blackoutMs * 10) / 10;
    output.result(
      { volume, pid, to: handed.to, blackoutMs },
      `${volume} handed over from process ${pid} to ${handed.to}; blackout here ${blackoutMs} ms`,
    );
  },
});
