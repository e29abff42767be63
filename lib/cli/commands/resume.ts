/** `tapdisk-ts resume`: lets a paused disk go on. */
import { defineCommand } from '../command';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';

export const command = defineCommand({
  examples: [['tapdisk-ts resume main/disk1', 'Requests that waited are served']],
  options: diskOptions,
  async run(options, { io, output }) {
    const found = await findDisk(options, io);
    await askDisk(found, 'resume', {});
    const { volume, pid } = found.disk;
    output.result({ volume, pid, state: 'running' }, `${volume} resumed in process ${pid}`);
  },
});
