/** `tapdisk-ts trace import`: another program's trace as one of ours. */
import { openTrace } from '../../trace/open-trace';
import { TraceRecord } from '../../trace/trace-record';
import { TraceWriter } from '../../trace/trace-writer';
import { REQUEST_DISCARD, type RequestOperation } from '../../vbd/request';
import { defineCommand } from '../command';
import { UsageError } from '../failure';
import { startProgress } from '../progress';

export const command = defineCommand({
  examples: [
    [
      'tapdisk-ts trace import mysql.load.gz mysql.trace',
      'Smaller, and refused where it is damaged',
    ],
  ],
  options: (yargs) =>
    yargs
      .positional('trace', { type: 'string', demandOption: true, describe: 'Load to read' })
      .positional('output', { type: 'string', demandOption: true, describe: 'Trace file to make' }),
  async run({ trace, output: path }, context) {
    const source = await openTrace(trace);
    if (source.kind === 'tapdisk-ts') {
      throw new UsageError(`${trace} is a tapdisk-ts trace already: there is nothing to import`);
    }
    const { requests, sectorsNeeded } = await source.summary();
    const progress = startProgress(context, {
      label: 'importing',
      total: requests,
      unit: 'requests',
    });
    // The size of the recorded disk is not known; it had at least these sectors.
    const header = { payload: 'none', sectors: sectorsNeeded, startedAtMs: 0 } as const;
    const writer = await TraceWriter.create(path, header);
    const record = new TraceRecord();
    for await (const batch of source.batches()) {
      for (let i = 0; i < batch.count; i++) {
        record.timeUs = batch.timeUs[i];
        record.operation = batch.operation[i] as RequestOperation;
        record.sector = batch.sector[i];
        if (record.operation === REQUEST_DISCARD) {
          record.segmentCount = 0;
          record.sectorCount = batch.sectorCount[i];
        } else {
          record.setPacked(0, batch.sectorCount[i]);
        }
        await writer.write(record);
      }
      progress.update(batch.firstRecord + batch.count);
    }
    await writer.close();
    progress.stop();
    context.output.result({ path, requests }, `${requests} requests imported into ${path}`);
  },
});
