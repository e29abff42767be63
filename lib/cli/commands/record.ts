/** `tapdisk-ts record`: turns the recording of a running disk's requests on and off. */
import { resolve } from 'node:path';
import { defineCommand } from '../command';
import { UsageError } from '../failure';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';

const EARLY_ENDS = {
  stopped: '',
  overloaded: '; it ended early, since the disk of the trace was too slow',
  'write-error': '; it ended early, since the disk of the trace was full or failed',
} as const;

const PAYLOADS = ['hash', 'full'] as const;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts record main/disk1 --output disk1.trace', 'Begin; the guest notices nothing'],
    ['tapdisk-ts record main/disk1 --stop', 'End, and say how many requests there were'],
  ],
  options: (yargs) =>
    diskOptions(yargs)
      .option('output', { type: 'string', requiresArg: true, describe: 'Trace file to make' })
      .option('payload', {
        choices: PAYLOADS,
        default: PAYLOADS[0],
        requiresArg: true,
        describe: 'Keep of the data a hash, or all of it',
      })
      // Without a default, so that yargs sees whether it was given.
      .option('stop', { type: 'boolean', describe: 'End the recording' })
      .conflicts('stop', 'output'),
  async run(options, { io, output }) {
    const { volume, stop, payload } = options;
    if (!stop && !options.output) throw new UsageError('say --output FILE, or --stop');
    const found = await findDisk(options, io);
    if (stop) {
      const trace = await askDisk(found, 'stopRecording', {});
      const early = EARLY_ENDS[trace.endReason];
      output.result(
        { volume, ...trace },
        `${trace.requests} requests recorded in ${trace.path}${early}`,
      );
      return;
    }
    const path = resolve(options.output as string);
    await askDisk(found, 'startRecording', { path, payload });
    output.result({ volume, path, payload }, `recording ${volume} into ${path}`);
  },
});
