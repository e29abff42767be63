/** Goal: a replay drives a real ring, of any shape, and loses no answer on it. */
import { join } from 'node:path';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { ReadBack } from '../../lib/trace/read-back';
import { Replayer } from '../../lib/trace/replayer';
import { ShmTarget } from '../../lib/trace/shm-target';
import { synthesize, SYNTHESIZE_DEFAULTS } from '../../lib/trace/synthesize';
import { TraceReader } from '../../lib/trace/trace-reader';
import { TraceWriter } from '../../lib/trace/trace-writer';
import { TraceRecord } from '../../lib/trace/trace-record';
import { FakeBlockDevice } from '../frontend/fake-block-device';
import { WHOLE_TRACE, withDirectory } from './fixtures';

// Thousands of requests: on a busy machine that takes its time.
jest.setTimeout(60_000);

const SECTORS = 4096;
const REQUESTS = 500;

const INDIRECT: ShmGeometry = {
  ...BLKTAP_GEOMETRY,
  ringPages: 4,
  addressing: 'page',
  dataPagesPerSlot: 65,
  indirectSegmentsMax: 64,
};

const OPTIONS = { ...WHOLE_TRACE, answerTimeoutMs: 10_000 };

async function makeTrace(path: string): Promise<TraceReader> {
  const writer = await TraceWriter.create(path, {
    payload: 'none',
    sectors: SECTORS,
    startedAtMs: 0,
  });
  const made = synthesize({
    ...SYNTHESIZE_DEFAULTS,
    seed: 3,
    count: REQUESTS,
    sectors: SECTORS,
    workingSetSectors: SECTORS,
    chunkBytes: 64 * 1024,
  });
  for (const record of made) await writer.write(record);
  const large = new TraceRecord();
  for (const operation of [1, 0] as const) {
    large.operation = operation;
    large.sector = 5;
    large.setPacked(0, 1000);
    await writer.write(large);
  }
  await writer.close();
  return TraceReader.open(path);
}

test.each([
  ['of blktap1', BLKTAP_GEOMETRY, 88],
  ['of 4 pages with indirect requests', INDIRECT, 512],
])('a ring %s carries a mixed trace, verified', async (_, geometry, sectorsMax) => {
  await withDirectory(async (directory) => {
    const ring = join(directory, 'blktap0');
    ShmDevice.create(ring, geometry);
    const disk = new FakeBlockDevice({ sectors: SECTORS });
    const backEnd = ShmFrontend.open(ring, disk, { onStopped: () => undefined });
    backEnd.start();
    const target = await ShmTarget.open(ring, 5000);
    try {
      expect(target).toMatchObject({ sectors: SECTORS, readOnly: false, sectorsMax });
      const source = await makeTrace(join(directory, 'mixed.trace'));
      const model = new DiskModel({
        sectors: SECTORS,
        seed: 9,
        expectZero: true,
        survives: 'flushed',
        hash: await loadPayloadHash(),
      });
      const result = await new Replayer(target, source, model, OPTIONS).run();
      expect(result).toMatchObject({ end: 'done', mismatches: 0, position: REQUESTS + 2 });
      expect(result.total.errors).toBe(0);
      expect(disk.leaked).toBe(0);

      const readBack = new ReadBack(model);
      const again = { ...OPTIONS, finalFlush: false };
      const clean = await new Replayer(target, readBack, model, again).run();
      expect(clean).toMatchObject({ end: 'done', mismatches: 0, position: readBack.requests });
      expect(clean.sectorsVerified).toBeGreaterThan(500);

      disk.disk[700 * 512 + 100] ^= 1;
      const spoilt = await new Replayer(target, readBack, model, again).run();
      expect(spoilt.mismatchSamples).toEqual([
        expect.objectContaining({ sector: 700, kind: 'torn' }),
      ]);
    } finally {
      await target.close();
      await backEnd.close();
    }
  });
});

test('a device that nobody serves is told apart from one that answers slowly', async () => {
  await withDirectory(async (directory) => {
    const ring = join(directory, 'blktap0');
    ShmDevice.create(ring, BLKTAP_GEOMETRY);
    await expect(ShmTarget.open(ring, 50)).rejects.toMatchObject({ code: 'SHM_NO_BACK_END' });
  });
});
