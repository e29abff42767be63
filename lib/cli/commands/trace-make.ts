/** `tapdisk-ts trace make`: a mixed trace made up from a seed. */
import { SECTOR_BYTES } from '../../sector';
import { synthesize, SYNTHESIZE_DEFAULTS as DEFAULTS } from '../../trace/synthesize';
import { TraceWriter } from '../../trace/trace-writer';
import { defineCommand } from '../command';
import { startProgress } from '../progress';
import { formatSize, parseSize } from '../sizes';
import { SEED_MAX, wholeNumber } from '../tracing/option-number';

const PROGRESS_EVERY = 1000;
const WORKING_SET_BYTES_DEFAULT = 512 * 1024 * 1024;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts trace make mixed.trace --size 2G', '20,000 requests for a volume of 2 GiB'],
    [
      'tapdisk-ts trace make reads.trace --size 1T --working-set 10G --read 95 --seed 7',
      'Mostly reads, in the first 10 GiB, the same for the same seed',
    ],
  ],
  options: (yargs) =>
    yargs
      .positional('output', { type: 'string', demandOption: true, describe: 'Trace file to make' })
      .option('size', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: "Size of the disk that it is for, such as '2G'",
      })
      .option('count', { type: 'number', default: 20_000, requiresArg: true, describe: 'Requests' })
      .option('seed', { type: 'number', default: 1, requiresArg: true, describe: 'Seed of chance' })
      .option('working-set', {
        type: 'string',
        requiresArg: true,
        describe:
          'How much of the disk most requests keep to (default: 512M, or all of a smaller one)',
      })
      .option('chunk', {
        type: 'string',
        default: '4M',
        requiresArg: true,
        describe: 'Boundaries that some requests cross',
      })
      .option('read', percent('reads', DEFAULTS.readPercent))
      .option('flush', percent('flushes', DEFAULTS.flushPercent))
      .option('barrier', percent('barriers', DEFAULTS.barrierPercent))
      .option('discard', percent('discards', DEFAULTS.discardPercent))
      .option('interval', {
        type: 'number',
        default: DEFAULTS.intervalUs,
        requiresArg: true,
        describe: 'Mean time between requests, in µs',
      }),
  async run(options, context) {
    const count = wholeNumber('count', options.count, 0) as number;
    const seed = wholeNumber('seed', options.seed, 0, SEED_MAX) as number;
    const sectors = Math.floor(parseSize(options.size) / SECTOR_BYTES);
    const workingSetBytes = options['working-set'];
    const workingSetSectors =
      workingSetBytes === undefined
        ? Math.min(sectors, WORKING_SET_BYTES_DEFAULT / SECTOR_BYTES)
        : Math.floor(parseSize(workingSetBytes) / SECTOR_BYTES);
    const records = synthesize({
      seed,
      count,
      sectors,
      workingSetSectors,
      chunkBytes: parseSize(options.chunk),
      readPercent: options.read,
      flushPercent: options.flush,
      barrierPercent: options.barrier,
      discardPercent: options.discard,
      intervalUs: options.interval,
    });
    // The first record proves the options, before a file is made.
    let next = records.next();
    const header = { payload: 'none', sectors, startedAtMs: 0 } as const;
    const writer = await TraceWriter.create(options.output, header);
    const progress = startProgress(context, { label: 'making', total: count, unit: 'requests' });
    for (let made = 1; !next.done; made++, next = records.next()) {
      await writer.write(next.value);
      if (made % PROGRESS_EVERY === 0) progress.update(made);
    }
    const requests = await writer.close();
    progress.stop();
    context.output.result(
      { path: options.output, requests, seed, sectors },
      `${requests} requests for a disk of ${formatSize(sectors * SECTOR_BYTES)} in ${options.output} (seed ${seed})`,
    );
  },
});

function percent(
  what: string,
  value: number,
): { type: 'number'; default: number; requiresArg: true; describe: string } {
  return { type: 'number', default: value, requiresArg: true, describe: `Percentage of ${what}` };
}
