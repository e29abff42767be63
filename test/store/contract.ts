/** What every chunk store must do: one suite, run on each kind. */
import { CHUNK_READ } from '../../lib/store/chunk-io';
import type { ChunkStore } from '../../lib/store/chunk-store';
import { EXTENT_BYTES, TRANSFERS_IN_FLIGHT_MAX } from '../../lib/store/limits';
import { heapArea } from '../../lib/store/memory-area';
import { expectBytes, pattern, StoreDriver, UNREAD, zeros } from './store-driver';

export const CHUNK_BYTES = 64 * 1024;
const PAGE_BYTES = 4096;
const FIRST_BEYOND_EXTENT = EXTENT_BYTES / CHUNK_BYTES;

/** Defines the tests; `open` gives an empty store each time. */
export function chunkStoreContract(
  open: (chunkBytes: number) => ChunkStore | Promise<ChunkStore>,
): void {
  let driver: StoreDriver;

  beforeEach(async () => {
    driver = new StoreDriver(await open(CHUNK_BYTES));
  });

  afterEach(() => driver.store.close());

  test('what was never written reads as zeros', async () => {
    expectBytes(await driver.read({ chunk: 7, offset: 512 }, 8192), zeros(8192));
    await driver.write({ chunk: 7 }, pattern(512, 1));
    expectBytes(await driver.read({ chunk: 7, offset: 512 }, 8192), zeros(8192));
    expectBytes(await driver.read({ chunk: 6 }, CHUNK_BYTES), zeros(CHUNK_BYTES));
    expectBytes(await driver.read({ chunk: 8 }, CHUNK_BYTES), zeros(CHUNK_BYTES));
  });

  test.each([
    ['a whole chunk', 3, 0, CHUNK_BYTES],
    ['the first page of a chunk', 3, 0, PAGE_BYTES],
    ['the last page of a chunk', 3, CHUNK_BYTES - PAGE_BYTES, PAGE_BYTES],
    ['one sector', 3, 512, 512],
    ['the last sector of a chunk', 3, CHUNK_BYTES - 512, 512],
    ['sectors across pages', 3, 7 * 512, 19 * 512],
    ['the last chunk below 1 TiB', FIRST_BEYOND_EXTENT - 1, 0, CHUNK_BYTES],
    ['the first chunk beyond 1 TiB', FIRST_BEYOND_EXTENT, 0, CHUNK_BYTES],
    ['a place beyond 8 TiB', 8 * FIRST_BEYOND_EXTENT + 5, 1024, 1536],
  ])('%s reads back, and nothing beside it', async (_, chunk, offset, length) => {
    const bytes = pattern(length, 5);
    expect(await driver.write({ chunk, offset }, bytes)).toBe(0);
    const whole = zeros(3 * CHUNK_BYTES);
    bytes.copy(whole, CHUNK_BYTES + offset);
    for (const [i, neighbour] of [chunk - 1, chunk, chunk + 1].entries()) {
      const expected = whole.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
      expectBytes(await driver.read({ chunk: neighbour }, CHUNK_BYTES), expected);
    }
    expectBytes(await driver.read({ chunk, offset }, length), bytes);
  });

  test('layers do not see each other', async () => {
    await driver.write({ layer: 1, chunk: 0 }, pattern(512, 1));
    await driver.write({ layer: 2, chunk: 0 }, pattern(512, 2));
    expectBytes(await driver.read({ layer: 1, chunk: 0 }, 512), pattern(512, 1));
    expectBytes(await driver.read({ layer: 2, chunk: 0 }, 512), pattern(512, 2));
    expectBytes(await driver.read({ layer: 3, chunk: 0 }, 512), zeros(512));
  });

  test('a later write replaces an earlier one, as far as it reaches', async () => {
    await driver.write({ chunk: 1 }, pattern(4096, 1));
    await driver.write({ chunk: 1, offset: 1024 }, pattern(512, 2));
    const expected = pattern(4096, 1);
    pattern(512, 2).copy(expected, 1024);
    expectBytes(await driver.read({ chunk: 1 }, 4096), expected);
  });

  test('a read fills its piece of the memory and no more', async () => {
    await driver.write({ chunk: 1 }, pattern(1024, 1));
    for (const chunk of [1, 2]) {
      const memory = heapArea(4096);
      memory.bytes.fill(UNREAD);
      expect(await driver.transfer(CHUNK_READ, { chunk }, memory, 512, 1024)).toBe(0);
      const expected = Buffer.alloc(4096, UNREAD);
      (chunk === 1 ? pattern(1024, 1) : zeros(1024)).copy(expected, 512);
      expectBytes(memory.bytes, expected);
    }
  });

  test('more transfers than it takes at once all end, once, of holes too', async () => {
    let batches = 0;
    driver.store.onBatchEnd = () => batches++;
    await driver.write({ layer: 1, chunk: 0 }, pattern(512, 1));
    const memory = heapArea(512);
    const all: Promise<number>[] = [];
    for (let i = 0; i < 2 * TRANSFERS_IN_FLIGHT_MAX; i++) {
      all.push(driver.submit(CHUNK_READ, { layer: 1, chunk: 0 }, memory, 0, 512));
    }
    for (let i = 0; i < 2 * TRANSFERS_IN_FLIGHT_MAX; i++) {
      all.push(driver.submit(CHUNK_READ, { layer: 9, chunk: i }, memory, 0, 512));
    }
    driver.store.kick();
    expect(new Set(await Promise.all(all))).toEqual(new Set([0]));
    expect(batches).toBeGreaterThan(0);
  });

  describe('a punch', () => {
    test.each([
      ['a whole chunk', 0, CHUNK_BYTES],
      ['some pages', 2 * PAGE_BYTES, 3 * PAGE_BYTES],
      ['some sectors', 3 * 512, 11 * 512],
      ['the end of a chunk', CHUNK_BYTES - 512, 512],
    ])('makes %s zeros and leaves the rest', async (_, offset, length) => {
      for (const chunk of [1, 2, 3]) await driver.write({ chunk }, pattern(CHUNK_BYTES, chunk));
      expect(await driver.punch({ chunk: 2, offset }, length)).toBe(0);
      const expected = pattern(CHUNK_BYTES, 2).fill(0, offset, offset + length);
      expectBytes(await driver.read({ chunk: 2 }, CHUNK_BYTES), expected);
      for (const chunk of [1, 3]) {
        const neighbour = await driver.read({ chunk }, CHUNK_BYTES);
        expectBytes(neighbour, pattern(CHUNK_BYTES, chunk));
      }
    });

    test('of what was never written does nothing', async () => {
      expect(await driver.punch({ layer: 5, chunk: 2 }, CHUNK_BYTES)).toBe(0);
      await driver.write({ chunk: 0 }, pattern(512, 1));
      expect(await driver.punch({ chunk: 900 }, CHUNK_BYTES)).toBe(0);
      expectBytes(await driver.read({ chunk: 0 }, 512), pattern(512, 1));
    });

    test('is answered later, also where there is nothing to do', async () => {
      let ended = false;
      const punched = new Promise<void>((resolve) => {
        driver.store.punch(5, 0, 0, CHUNK_BYTES, () => {
          ended = true;
          resolve();
        });
      });
      expect(ended).toBe(false);
      await punched;
    });

    test('leaves the place free for a new write', async () => {
      await driver.write({ chunk: 2 }, pattern(CHUNK_BYTES, 1));
      await driver.punch({ chunk: 2 }, CHUNK_BYTES);
      await driver.write({ chunk: 2, offset: 1024 }, pattern(512, 2));
      const expected = zeros(CHUNK_BYTES);
      pattern(512, 2).copy(expected, 1024);
      expectBytes(await driver.read({ chunk: 2 }, CHUNK_BYTES), expected);
    });

    test('gives the space back', async () => {
      for (const chunk of [0, 1]) await driver.write({ chunk }, pattern(CHUNK_BYTES, 1));
      await driver.sync();
      const before = await driver.store.usedBytes(1);
      await driver.punch({ chunk: 1 }, CHUNK_BYTES);
      await driver.sync();
      expect(await driver.store.usedBytes(1)).toBe(before - CHUNK_BYTES);
    });
  });

  test('a sync is answered later, however many come at once', async () => {
    await driver.write({ chunk: 0 }, pattern(512, 1));
    let ended = 0;
    const syncs = Array.from({ length: 5 }, () => driver.sync().then(() => ended++));
    expect(ended).toBe(0);
    await Promise.all(syncs);
    expect(ended).toBe(5);
  });

  test('a deleted layer is gone with its space, and the others are not', async () => {
    for (const layer of [1, 2]) await driver.write({ layer, chunk: 0 }, pattern(4096, layer));
    await driver.sync();
    expect(await driver.store.usedBytes(1)).toBeGreaterThanOrEqual(4096);
    await driver.store.deleteLayer(1);
    expect(await driver.store.usedBytes(1)).toBe(0);
    expectBytes(await driver.read({ layer: 1, chunk: 0 }, 4096), zeros(4096));
    expectBytes(await driver.read({ layer: 2, chunk: 0 }, 4096), pattern(4096, 2));
    await driver.store.deleteLayer(1);
  });

  test('a layer that was never written takes no space and can be settled', async () => {
    expect(await driver.store.usedBytes(77)).toBe(0);
    await driver.store.settleLayer(77);
    await driver.write({ layer: 78, chunk: 0 }, pattern(512, 1));
    await driver.store.settleLayer(78);
  });

  test('says what kind it is', () => {
    expect(driver.store.describe()).toMatchObject({ kind: driver.store.kind });
  });
}
