/**
 * Goal: what a real guest does to its disk is replayed and verified, and a disk that fails it is found.
 * Method: `recorded/xen-guest.trace`, from the ring of a Linux guest on a real Xen, against a disk in
 * memory.
 */
import { join } from 'node:path';
import { DiskModel } from '../../lib/trace/disk-model';
import { openTrace } from '../../lib/trace/open-trace';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import type { ReplayResult } from '../../lib/trace/replay-result';
import { Replayer } from '../../lib/trace/replayer';
import type { TraceSource } from '../../lib/trace/trace-source';
import { REQUEST_DISCARD, REQUEST_FLUSH, REQUEST_READ, REQUEST_WRITE } from '../../lib/vbd/request';
import { WHOLE_TRACE } from './fixtures';
import { MemoryTarget } from './memory-target';

const TRACE = join(__dirname, 'recorded/xen-guest.trace');
const SEED = 20261122;

// A whole guest's requests, each sector verified.
jest.setTimeout(120_000);

let trace: TraceSource;
beforeAll(async () => {
  trace = await openTrace(TRACE);
});

async function replayOn(target: MemoryTarget): Promise<ReplayResult> {
  const model = new DiskModel({
    sectors: target.sectors,
    seed: SEED,
    expectZero: true,
    survives: 'flushed',
    hash: await loadPayloadHash(),
  });
  return new Replayer(target, trace, model, WHOLE_TRACE).run();
}

test('it has all kinds of requests, of a disk that was watched to its end', async () => {
  const { diskSectors, endReason, requests, payload } = await trace.summary();
  expect({ diskSectors, endReason, payload }).toEqual({
    diskSectors: 262_144,
    endReason: 'stopped',
    payload: 'hash',
  });
  const counts = new Map<number, number>();
  for await (const batch of trace.batches()) {
    for (let i = 0; i < batch.count; i++) {
      counts.set(batch.operation[i], (counts.get(batch.operation[i]) ?? 0) + 1);
      expect(batch.status[i]).toBe(0);
    }
  }
  for (const operation of [REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_DISCARD]) {
    expect(counts.get(operation)).toBeGreaterThan(10);
  }
  expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(requests);
});

test('a correct disk has no mismatch', async () => {
  const { requests } = await trace.summary();
  const result = await replayOn(new MemoryTarget({ sectors: 262_144 }));
  expect(result).toMatchObject({ end: 'done', mismatches: 0, skipped: 0, position: requests });
});

test('a disk that loses every fiftieth write is found', async () => {
  const target = new MemoryTarget({ sectors: 262_144 });
  let writes = 0;
  target.faults.write = () => ++writes % 50 === 0;
  const result = await replayOn(target);
  expect(writes).toBeGreaterThan(100);
  expect(result.mismatches).toBeGreaterThan(0);
});
