/** `tapdisk-ts pause`: lets a running disk take no further requests. */
import { defineCommand } from '../command';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';

export const command = defineCommand({
  examples: [['tapdisk-ts pause main/disk1', 'The guest waits; nothing of it is lost']],
  options: diskOptions,
  async run(options, { io, output }) {
    const found = await findDisk(options, io);
    await askDisk(found, 'pause', {});
    const { volume, pid } = found.disk;
    output.result({ volume, pid, state: 'paused' }, `${volume} paused in process ${pid}`);
  },
});
