/** Which transfers of a directory store share an operation, and what becomes of those that fail. */
import { DirStore } from '../../lib/store/dir/dir-store';
import { CHUNK_READ, CHUNK_WRITE, type ChunkOperation } from '../../lib/store/chunk-io';
import { EXTENT_BYTES, MERGED_BYTES_MAX, TRANSFERS_IN_FLIGHT_MAX } from '../../lib/store/limits';
import type { MemoryArea } from '../../lib/store/memory-area';
import type { Mapping } from '../../native-bindings/mapping';
import { openIoEngine } from '../../native-bindings/open-engine';
import { describeWhere } from '../where';
import { alignedArea } from './aligned-area';
import { fastBase, storeDirectories } from './store-directory';
import { expectBytes, pattern, StoreDriver, type Place } from './store-driver';
import { Tap } from './tapped-engine';

const CHUNK_BYTES = 64 * 1024;
const PAGE = 4096;
const EIO = 5;
const EAGAIN = 11;
const AREA_BYTES = 4 * MERGED_BYTES_MAX;

const newDirectory = storeDirectories(fastBase());
const cleanUps: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** One piece of a batch: bytes of a place, to or from a place in the area. */
interface Piece {
  readonly operation?: ChunkOperation;
  readonly place: Place;
  readonly at: number;
  readonly length?: number;
  readonly area?: MemoryArea;
}

class Rig {
  readonly tap: Tap;
  readonly driver: StoreDriver;
  readonly area: Mapping;
  readonly directory = newDirectory();

  constructor(kind: 'io_uring' | 'threads', direct = true) {
    this.tap = new Tap(kind);
    const { directory } = this;
    const openEngine = this.tap.open;
    const store = new DirStore({
      directory,
      chunkBytes: CHUNK_BYTES,
      direct,
      readOnly: false,
      openEngine,
    });
    this.driver = new StoreDriver(store);
    this.area = alignedArea(newDirectory(), AREA_BYTES);
    cleanUps.push(() => this.area.unmap());
    cleanUps.push(() => store.close());
  }

  /** Submits all, kicks once; resolves to their errnos. */
  async batch(pieces: readonly Piece[]): Promise<number[]> {
    const ends = pieces.map(({ operation = CHUNK_WRITE, place, at, length = PAGE, area }) =>
      this.driver.submit(operation, place, area ?? this.area, at, length),
    );
    this.driver.store.kick();
    return Promise.all(ends);
  }

  /** Operations of the engine since the last look: how many bytes and pieces each. */
  look(): { length: number; pieces: number }[] {
    return this.tap.seen.splice(0).map(({ length, pieces }) => ({ length, pieces }));
  }

  /** Fills the area with bytes that tell their places. */
  fill(seed: number): Buffer {
    const bytes = pattern(AREA_BYTES, seed);
    bytes.copy(this.area.bytes);
    return bytes;
  }
}

const pages = (count: number, piece: (index: number) => Piece): Piece[] =>
  Array.from({ length: count }, (_, index) => piece(index));

const uringAbsence = ((): string | null => {
  const engine = openIoEngine(jest.fn(), jest.fn());
  engine.close();
  return engine.kind === 'io_uring' ? null : engine.reason;
})();
const kinds = uringAbsence === null ? (['io_uring', 'threads'] as const) : (['threads'] as const);

describe.each(kinds)('on %s', (kind) => {
  test('neighbours in the file that are neighbours in memory are one operation', async () => {
    const rig = new Rig(kind);
    const bytes = rig.fill(1);
    const writes = pages(8, (i) => ({ place: { chunk: 2, offset: i * PAGE }, at: i * PAGE }));
    expect(await rig.batch(writes)).toEqual(new Array(8).fill(0));
    expect(rig.look()).toEqual([{ length: 8 * PAGE, pieces: 1 }]);
    expectBytes(await rig.driver.read({ chunk: 2 }, 8 * PAGE), bytes.subarray(0, 8 * PAGE));
  });

  test('neighbouring chunks are neighbours in the file, but for the end of an extent file', async () => {
    const rig = new Rig(kind);
    const bytes = rig.fill(2);
    const last = EXTENT_BYTES / CHUNK_BYTES - 1;
    const across = (chunk: number): Piece[] => [
      { place: { chunk, offset: CHUNK_BYTES - PAGE }, at: 0 },
      { place: { chunk: chunk + 1 }, at: PAGE },
    ];
    expect(await rig.batch(across(7))).toEqual([0, 0]);
    expect(rig.look()).toEqual([{ length: 2 * PAGE, pieces: 1 }]);
    expect(await rig.batch(across(last))).toEqual([0, 0]);
    expect(rig.look()).toHaveLength(2);
    for (const chunk of [7, last]) {
      const offset = CHUNK_BYTES - PAGE;
      expectBytes(await rig.driver.read({ chunk, offset }, PAGE), bytes.subarray(0, PAGE));
      const next = { chunk: chunk + 1 };
      expectBytes(await rig.driver.read(next, PAGE), bytes.subarray(PAGE, 2 * PAGE));
    }
  });

  const apart: [string, Piece][] = [
    [
      'of another operation',
      { operation: CHUNK_READ, place: { chunk: 0, offset: PAGE }, at: PAGE },
    ],
    ['of another layer', { place: { layer: 9, chunk: 0, offset: PAGE }, at: PAGE }],
    ['that leaves a gap', { place: { chunk: 0, offset: 2 * PAGE }, at: PAGE }],
    ['that goes back', { place: { chunk: 0, offset: 0 }, at: PAGE }],
  ];
  test.each(apart)('a transfer %s is an operation of its own', async (_, other) => {
    const rig = new Rig(kind);
    rig.fill(3);
    await rig.batch([{ place: { layer: 9, chunk: 5 }, at: 0 }]);
    rig.look();
    expect(await rig.batch([{ place: { chunk: 0 }, at: 0 }, other])).toEqual([0, 0]);
    expect(rig.look()).toHaveLength(2);
  });

  test('transfers of different memories are operations of their own', async () => {
    const rig = new Rig(kind);
    const area = alignedArea(newDirectory(), PAGE);
    cleanUps.push(() => area.unmap());
    await rig.batch([
      { place: { chunk: 0 }, at: 0 },
      { place: { chunk: 0, offset: PAGE }, at: 0, area },
    ]);
    expect(rig.look()).toHaveLength(2);
  });

  test('a kick ends what can be joined', async () => {
    const rig = new Rig(kind);
    const first = rig.batch([{ place: { chunk: 0 }, at: 0 }]);
    await Promise.all([first, rig.batch([{ place: { chunk: 0, offset: PAGE }, at: PAGE }])]);
    expect(rig.look()).toHaveLength(2);
  });

  test('no operation is longer than the limit', async () => {
    const rig = new Rig(kind);
    const count = (2 * MERGED_BYTES_MAX) / CHUNK_BYTES + 1;
    const errnos = await rig.batch(
      pages(count, (i) => ({ place: { chunk: i }, at: i * CHUNK_BYTES, length: CHUNK_BYTES })),
    );
    expect(errnos).toEqual(new Array(count).fill(0));
    expect(rig.look().map(({ length }) => length)).toEqual([
      MERGED_BYTES_MAX,
      MERGED_BYTES_MAX,
      CHUNK_BYTES,
    ]);
  });

  test('what fails or comes short is done singly, and each has its own errno', async () => {
    const rig = new Rig(kind);
    const bytes = rig.fill(4);
    const batch = pages(4, (i) => ({ place: { chunk: 0, offset: i * PAGE }, at: i * PAGE }));
    rig.tap.answers.write.push(-EIO, -EIO);
    expect(await rig.batch(batch)).toEqual([EIO, 0, 0, 0]);
    expect(rig.look().map(({ length }) => length)).toEqual([4 * PAGE, PAGE, PAGE, PAGE, PAGE]);
    expectBytes(
      await rig.driver.read({ chunk: 0, offset: PAGE }, 3 * PAGE),
      bytes.subarray(PAGE, 4 * PAGE),
    );
    rig.look();
    rig.tap.answers.write.push(2 * PAGE + 512);
    expect(await rig.batch(batch)).toEqual([0, 0, 0, 0]);
    expect(rig.look()).toHaveLength(5);
    expectBytes(await rig.driver.read({ chunk: 0 }, 4 * PAGE), bytes.subarray(0, 4 * PAGE));
  });

  test('what is interrupted is tried again as it was', async () => {
    const rig = new Rig(kind);
    rig.tap.answers.write.push(-EAGAIN);
    await rig.batch(pages(4, (i) => ({ place: { chunk: 0, offset: i * PAGE }, at: i * PAGE })));
    expect(rig.look().map(({ length }) => length)).toEqual([4 * PAGE, 4 * PAGE]);
  });

  test('reads across the end of the file are zeros beyond it', async () => {
    const rig = new Rig(kind);
    const bytes = rig.fill(5);
    await rig.batch([{ place: { chunk: 0 }, at: 0 }]);
    rig.area.bytes.fill(0xee);
    const reads = pages(3, (i) => ({
      operation: CHUNK_READ,
      place: { chunk: 0, offset: i * PAGE },
      at: i * PAGE,
    }));
    expect(await rig.batch(reads)).toEqual([0, 0, 0]);
    expectBytes(rig.area.bytes.subarray(0, PAGE), bytes.subarray(0, PAGE));
    expectBytes(rig.area.bytes.subarray(PAGE, 3 * PAGE), Buffer.alloc(2 * PAGE));
  });

  test('more transfers than can be in flight are all done', async () => {
    const rig = new Rig(kind);
    const count = TRANSFERS_IN_FLIGHT_MAX + 500;
    const bytes = rig.fill(6);
    // Pairs with gaps between them: each pair is one operation.
    const errnos = await rig.batch(
      pages(2 * count, (i) => ({
        place: { chunk: Math.floor(i / 2), offset: (i % 2) * 512 },
        at: (i * 512) % AREA_BYTES,
        length: 512,
      })),
    );
    expect(errnos.every((errno) => errno === 0)).toBe(true);
    for (const chunk of [0, 1, TRANSFERS_IN_FLIGHT_MAX, count - 1]) {
      const at = (chunk * 1024) % AREA_BYTES;
      expectBytes(await rig.driver.read({ chunk }, 1024), bytes.subarray(at, at + 1024));
    }
  });

  test('any batch reads back', async () => {
    const seed = Number(process.env.SEED ?? 20_260_301);
    const random = randomOf(seed);
    const rig = new Rig(kind);
    const DISK = 8 * CHUNK_BYTES;
    const model = Buffer.alloc(DISK);
    for (let round = 0; round < 60; round++) {
      rig.fill(round + 100);
      const isRead = random(3) === 0;
      const pieces: Piece[] = [];
      let at = random(DISK / 512) * 512;
      let memoryAt = 0;
      while (pieces.length < 24) {
        const room = CHUNK_BYTES - (at % CHUNK_BYTES);
        const length = Math.min(room, (1 + random(24)) * 512, DISK - at);
        const place = { chunk: Math.floor(at / CHUNK_BYTES), offset: at % CHUNK_BYTES };
        pieces.push({ operation: isRead ? CHUNK_READ : CHUNK_WRITE, place, at: memoryAt, length });
        memoryAt += length + (random(3) === 0 ? 512 : 0);
        at += length + (random(4) === 0 ? 512 : 0);
        if (at >= DISK) break;
      }
      const errnos = await rig.batch(pieces);
      expect([seed, errnos.filter((errno) => errno !== 0)]).toEqual([seed, []]);
      for (const { place, at: from, length = 0 } of pieces) {
        const start = place.chunk * CHUNK_BYTES + (place.offset ?? 0);
        const memory = rig.area.bytes.subarray(from, from + length);
        if (isRead) expectBytes(memory, model.subarray(start, start + length));
        else memory.copy(model, start);
      }
    }
    for (let chunk = 0; chunk < 8; chunk++) {
      const expected = model.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
      expectBytes(await rig.driver.read({ chunk }, CHUNK_BYTES), expected);
    }
  });
});

describeWhere(uringAbsence, 'pieces of memory')('pieces of memory', () => {
  /** Pages of the file in order, of memory in reverse: no two are neighbours in both. */
  const scattered = (count: number, operation: ChunkOperation = CHUNK_WRITE): Piece[] =>
    pages(count, (i) => ({
      operation,
      place: { chunk: Math.floor(i / 16), offset: (i % 16) * PAGE },
      at: (count - 1 - i) * 2 * PAGE,
    }));

  function expectScattered(rig: Rig, bytes: Buffer, count: number): Promise<void[]> {
    return Promise.all(
      pages(count, (i) => scattered(count)[i]).map(async ({ place, at }) =>
        expectBytes(await rig.driver.read(place, PAGE), bytes.subarray(at, at + PAGE)),
      ),
    );
  }

  test.each([
    ['registered', true],
    ['not registered', false],
  ])('that is %s are one operation', async (_, isRegistered) => {
    const rig = new Rig('io_uring');
    if (isRegistered) rig.driver.store.engine?.registerMemory(rig.area);
    const bytes = rig.fill(7);
    expect(await rig.batch(scattered(20))).toEqual(new Array(20).fill(0));
    expect(rig.look()).toEqual([{ length: 20 * PAGE, pieces: 20 }]);
    await expectScattered(rig, bytes, 20);
    rig.area.bytes.fill(0);
    rig.look();
    await rig.batch(scattered(20, CHUNK_READ));
    expect(rig.look()).toEqual([{ length: 20 * PAGE, pieces: 20 }]);
    for (const { at } of scattered(20)) {
      expectBytes(rig.area.bytes.subarray(at, at + PAGE), bytes.subarray(at, at + PAGE));
    }
    rig.driver.store.engine?.unregisterMemory(rig.area);
  });

  test('are no more than the limit', async () => {
    const rig = new Rig('io_uring');
    const bytes = rig.fill(8);
    await rig.batch(scattered(100));
    expect(rig.look().map(({ pieces }) => pieces)).toEqual([64, 36]);
    await expectScattered(rig, bytes, 100);
  });

  test('go singly where the engine takes none now, and where they fail together', async () => {
    const rig = new Rig('io_uring');
    const bytes = rig.fill(9);
    rig.tap.refusesPieces = true;
    await rig.batch(scattered(10));
    expect(rig.look()).toEqual(new Array(10).fill({ length: PAGE, pieces: 1 }));
    await expectScattered(rig, bytes, 10);
    rig.tap.refusesPieces = false;
    rig.look();
    rig.tap.answers.write.push(-EIO);
    expect(await rig.batch(scattered(10))).toEqual(new Array(10).fill(0));
    expect(rig.look()).toHaveLength(11);
  });

  test('of many operations at once are each its own', async () => {
    const rig = new Rig('io_uring', false);
    const bytes = rig.fill(10);
    const pair = (i: number): Piece => ({
      place: { chunk: Math.floor(i / 2), offset: (i % 2) * 512 },
      at: ((i * 7919) % 4096) * 1024,
      length: 512,
    });
    const batch = pages(2400, pair);
    expect((await rig.batch(batch)).every((errno) => errno === 0)).toBe(true);
    for (const { place, at } of batch.filter((_, i) => i % 97 === 0)) {
      expectBytes(await rig.driver.read(place, 512), bytes.subarray(at, at + 512));
    }
  });
});

/** Whole numbers below a limit, the same for the same seed. */
function randomOf(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}
