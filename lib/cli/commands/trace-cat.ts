/** `tapdisk-ts trace cat`: the requests of a trace, one a line. */
import { SEGMENTS_MAX } from '../../trace/limits';
import { openTrace } from '../../trace/open-trace';
import type { TraceBatch } from '../../trace/trace-batch';
import { PAYLOAD_BYTES, PAYLOAD_HASH } from '../../trace/trace-record';
import { defineCommand } from '../command';
import { operationName } from '../tracing/operation-name';
import { wholeNumber } from '../tracing/option-number';

const HEADING =
  '#number      time s         ring operation      sector       sectors segments status latency µs payload\n';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts trace cat disk1.trace --count 20', 'The first twenty'],
    ['tapdisk-ts trace cat disk1.trace --json | jq .sector', 'For programs: an object a line'],
  ],
  options: (yargs) =>
    yargs
      .positional('trace', { type: 'string', demandOption: true, describe: 'Trace file' })
      .option('skip', { type: 'number', default: 0, requiresArg: true, describe: 'Leave out N' })
      .option('count', { type: 'number', requiresArg: true, describe: 'Print N at most' }),
  async run(options, { io, output }) {
    const skip = wholeNumber('skip', options.skip, 0) as number;
    let left = wholeNumber('count', options.count, 0) ?? Infinity;
    const source = await openTrace(options.trace);
    const line = output.json ? jsonLine : textLine;
    if (!output.json) io.out(HEADING);
    for await (const batch of source.batches(skip)) {
      let text = '';
      for (let i = batch.start; i < batch.count && left > 0; i++, left--) text += line(batch, i);
      io.out(text);
      if (left <= 0) return;
    }
  },
});

const first = new Uint8Array(SEGMENTS_MAX);
const last = new Uint8Array(SEGMENTS_MAX);

function shape(batch: TraceBatch, i: number): [number, number][] {
  const segments = batch.readSegments(i, first, last);
  return Array.from({ length: segments }, (_, s) => [first[s], last[s]]);
}

function payloadText(batch: TraceBatch, i: number): string {
  if (batch.payloadKind[i] === PAYLOAD_HASH) {
    return batch.payloadHash[i].toString(16).padStart(8, '0');
  }
  return batch.payloadKind[i] === PAYLOAD_BYTES ? 'stored' : '-';
}

function textLine(batch: TraceBatch, i: number): string {
  const name = operationName(batch.operation[i]) + (batch.forceUnitAccess[i] === 1 ? '+fua' : '');
  const columns = [
    String(batch.firstRecord + i).padEnd(12),
    (batch.timeUs[i] / 1e6).toFixed(6).padEnd(14),
    String(batch.ringId[i]).padEnd(4),
    name.padEnd(14),
    String(batch.sector[i]).padEnd(12),
    String(batch.sectorCount[i]).padEnd(7),
    String(batch.segmentCount[i]).padEnd(8),
    String(batch.status[i]).padEnd(6),
    String(batch.latencyUs[i]).padEnd(10),
    payloadText(batch, i),
  ];
  return `${columns.join(' ')}\n`;
}

function jsonLine(batch: TraceBatch, i: number): string {
  const request = {
    number: batch.firstRecord + i,
    timeUs: batch.timeUs[i],
    ring: batch.ringId[i],
    operation: operationName(batch.operation[i]),
    forceUnitAccess: batch.forceUnitAccess[i] === 1,
    sector: batch.sector[i],
    sectors: batch.sectorCount[i],
    segments: shape(batch, i),
    status: batch.status[i],
    latencyUs: batch.latencyUs[i],
    payload: payloadText(batch, i),
  };
  return `${JSON.stringify(request)}\n`;
}
