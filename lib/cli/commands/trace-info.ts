/** `tapdisk-ts trace info`: what a trace holds, after reading it whole. */
import { openTrace } from '../../trace/open-trace';
import { SECTOR_BYTES } from '../../sector';
import { REQUEST_DISCARD } from '../../vbd/request';
import { defineCommand } from '../command';
import { startProgress } from '../progress';
import { formatSize } from '../sizes';
import { operationName } from '../tracing/operation-name';

interface OperationTotals {
  requests: number;
  bytes: number;
}

const END_TEXTS = {
  stopped: 'as asked',
  overloaded: 'early: the disk of the trace was too slow',
  'write-error': 'early: the trace could not be written on, its disk was full or failed',
} as const;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts trace info disk1.trace', 'Requests, sizes, duration, and whether it is sound'],
  ],
  options: (yargs) =>
    yargs.positional('trace', { type: 'string', demandOption: true, describe: 'Trace file' }),
  async run({ trace: path }, context) {
    const source = await openTrace(path);
    const summary = await source.summary();
    const { requests } = summary;
    const progress = startProgress(context, {
      label: 'reading',
      total: requests,
      unit: 'requests',
    });
    const operations: Record<string, OperationTotals> = {};
    let firstUs = Infinity;
    let lastUs = 0;
    try {
      for await (const batch of source.batches()) {
        for (let i = 0; i < batch.count; i++) {
          const totals = (operations[operationName(batch.operation[i])] ??= {
            requests: 0,
            bytes: 0,
          });
          totals.requests++;
          // A discard moves nothing.
          if (batch.operation[i] !== REQUEST_DISCARD) {
            totals.bytes += batch.sectorCount[i] * SECTOR_BYTES;
          }
          firstUs = Math.min(firstUs, batch.timeUs[i]);
          lastUs = Math.max(lastUs, batch.timeUs[i] + batch.latencyUs[i]);
        }
        progress.update(batch.firstRecord + batch.count);
      }
    } finally {
      progress.stop();
    }
    const durationUs = requests === 0 ? 0 : lastUs - firstUs;
    const { diskSectors, sectorsNeeded, startedAtMs, payload, endReason } = summary;
    const kinds = Object.entries(operations).map(
      ([name, totals]) =>
        [name, `${totals.requests} requests, ${formatSize(totals.bytes)}`] as const,
    );
    context.output.facts({ path, kind: source.kind, ...summary, durationUs, operations }, [
      ['trace', path],
      ['kind', source.kind],
      ['requests', String(requests)],
      ...kinds,
      ['duration', `${(durationUs / 1e6).toFixed(3)} s`],
      ['needs a disk of', `${formatSize(sectorsNeeded * SECTOR_BYTES)} (${sectorsNeeded} sectors)`],
      ['recorded disk', diskSectors === null ? 'unknown' : formatSize(diskSectors * SECTOR_BYTES)],
      ['started', startedAtMs === null ? 'unknown' : new Date(startedAtMs).toISOString()],
      ['payload', payload],
      ['ended', END_TEXTS[endReason]],
    ]);
  },
});
