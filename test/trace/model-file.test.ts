/** Goal: a model read back judges as the one that was saved; a damaged one is refused. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadModel, saveModel } from '../../lib/trace/model-file';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { fillSectors } from '../../lib/trace/sector-payload';
import { withDirectory } from './fixtures';

const SEED = 0xcafe1234;
const FAR = 2 ** 43;

async function newModel(): Promise<DiskModel> {
  const hash = await loadPayloadHash();
  const options = { sectors: 2 ** 44, seed: SEED, expectZero: true, survives: 'flushed' } as const;
  const model = new DiskModel({ ...options, hash });
  for (const [sector, status] of [
    [10, 0],
    [FAR, 0],
    [FAR + 1, -1],
  ]) {
    model.writeStarted(0, sector, 4);
    model.ended(0, status);
  }
  return model;
}

function mismatches(model: DiskModel, sector: number, sequence: number | null): number {
  const words = new Int32Array(128);
  if (sequence !== null) fillSectors(words, 0, sector, 1, sequence, SEED);
  return model.check(sector, 1, words, 0, null);
}

test('a model goes on where it was', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'disk.model');
    const hash = await loadPayloadHash();
    expect(await loadModel(path, hash)).toBeNull();
    await saveModel(path, await newModel(), { position: 77 });
    const loaded = await loadModel(path, hash);
    if (loaded === null) throw new Error('it was saved');
    const { model, notes } = loaded;
    expect(notes).toEqual({ position: 77 });
    expect(model.options).toMatchObject({ seed: SEED, expectZero: true, survives: 'flushed' });
    expect(model.nextSequence).toBe(3);
    expect(model.uncertainSectors).toBe(4);
    expect(mismatches(model, 10, 0)).toBe(0);
    expect(mismatches(model, 10, 1)).toBe(1);
    expect(mismatches(model, 14, null)).toBe(0);
    expect(mismatches(model, FAR + 2, null)).toBe(1);
    expect(mismatches(model, FAR + 2, 2)).toBe(0);
    expect(mismatches(model, FAR + 3, 1)).toBe(0);
    expect(mismatches(model, FAR + 4, null)).toBe(0);
  });
});

test('cut anywhere or damaged anywhere, it is refused', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'disk.model');
    const hash = await loadPayloadHash();
    await saveModel(path, await newModel(), {});
    const whole = readFileSync(path);
    const steps = Array.from({ length: 120 }, (_, n) => Math.floor((n * whole.length) / 120));
    for (const at of [...Array(64).keys(), ...steps]) {
      writeFileSync(path, whole.subarray(0, at));
      await expect(loadModel(path, hash)).rejects.toMatchObject({ code: 'MODEL_CORRUPT' });
      const damaged = Buffer.from(whole);
      damaged[at] ^= 0x10;
      writeFileSync(path, damaged);
      await expect(loadModel(path, hash)).rejects.toMatchObject({
        code: expect.stringMatching(/^MODEL_(CORRUPT|VERSION_UNKNOWN)$/) as string,
      });
    }
  });
});

test('a place that cannot be written to is refused', async () => {
  await withDirectory(async (directory) => {
    await expect(
      saveModel(join(directory, 'no/such/place'), await newModel(), {}),
    ).rejects.toMatchObject({ code: 'MODEL_WRITE_FAILED' });
  });
});
