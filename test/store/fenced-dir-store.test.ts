/** What a directory store does by itself, later, passes the fence too: retries, rests, zero writes. */
import { LIBUV_THREADS_DEFAULT } from '../../native-bindings/limits';
import type { IoEngineKind } from '../../native-bindings/io-engine';
import { CHUNK_READ, CHUNK_WRITE } from '../../lib/store/chunk-io';
import { DirStore } from '../../lib/store/dir/dir-store';
import { FencedStore } from '../../lib/store/fenced-store';
import { INTERRUPTION_RETRY_MS, TRANSFERS_IN_FLIGHT_MAX } from '../../lib/store/limits';
import { heapArea } from '../../lib/store/memory-area';
import { FakeFence } from '../fake-fence';
import { alignedArea } from './aligned-area';
import { storeDirectories } from './store-directory';
import { expectBytes, pattern, StoreDriver, zeros } from './store-driver';
import { Tap } from './tapped-engine';

const CHUNK_BYTES = 64 * 1024;
const EIO = 5;
const EAGAIN = 11;
const EINVAL = 22;
const EOPNOTSUPP = 95;

const newDirectory = storeDirectories();
const opened: StoreDriver[] = [];

interface Opened {
  readonly fence: FakeFence;
  readonly tap: Tap;
  readonly driver: StoreDriver;
}

function open(direct = false, kind: IoEngineKind = 'threads'): Opened {
  const fence = new FakeFence();
  const tap = new Tap(kind);
  const directory = newDirectory();
  const options = { directory, chunkBytes: CHUNK_BYTES, direct, readOnly: false };
  const inner = new DirStore({ ...options, openEngine: tap.open });
  const driver = new StoreDriver(new FencedStore(inner, fence));
  opened.push(driver);
  return { fence, tap, driver };
}

afterEach(async () => {
  for (const { store } of opened.splice(0)) await store.close();
});

/** Longer than any retry of the store takes. */
const retries = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 5 * INTERRUPTION_RETRY_MS));

/** What makes a write go on by itself, and how many writes the engine sees before it does. */
const INTERRUPTED: readonly [string, (tap: Tap) => void, number][] = [
  ['a refusal for the moment', (tap) => tap.answers.write.push(-EAGAIN), 1],
  ['a refusal for want of memory, again', (tap) => tap.answers.write.push(-EAGAIN, -EAGAIN), 2],
  ['a short write', (tap) => (tap.lengthMax = 4096), 1],
];

describe.each(INTERRUPTED)('after %s', (_, interrupt, before) => {
  test('a write goes on when the fence opens', async () => {
    const { fence, tap, driver } = open();
    interrupt(tap);
    const written = driver.write({ chunk: 1 }, pattern(8192, 1));
    for (let turn = 0; tap.count('write') < before && turn < 1e5; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    fence.close();
    await retries();
    expect(tap.count('write')).toBe(before);
    tap.lengthMax = Infinity;
    fence.open();
    expect(await written).toBe(0);
    expectBytes(await driver.read({ chunk: 1 }, 8192), pattern(8192, 1));
  });

  test('a write fails when the volume is lost', async () => {
    const { fence, tap, driver } = open();
    interrupt(tap);
    const written = driver.write({ chunk: 1 }, pattern(8192, 1));
    for (let turn = 0; tap.count('write') < before && turn < 1e5; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    fence.lose();
    expect(await written).toBe(EIO);
    await retries();
    expect(tap.count('write')).toBe(before);
  });
});

/** The fence closes when all is queued, and only the kernel's call is still to come. */
describe.each(['io_uring', 'threads'] as const)('closed right before the kernel, %s', (kind) => {
  function closeWhenAsked(fence: FakeFence): void {
    fence.onAsked = () => {
      fence.onAsked = () => {};
      fence.close();
    };
  }

  test('it is asked once for all that goes to the kernel together', async () => {
    const { fence, driver } = await written();
    const memory = heapArea(512);
    const before = fence.asked;
    const all = [0, 1, 2, 3].map((offset) =>
      driver.submit(CHUNK_WRITE, { chunk: 0, offset: 4096 * offset }, memory, 0, 512),
    );
    expect(fence.asked).toBe(before);
    driver.store.kick();
    expect(fence.asked).toBe(before + 1);
    expect(await Promise.all(all)).toEqual([0, 0, 0, 0]);
  });

  async function written(): Promise<Opened> {
    const disk = open(false, kind);
    expect(await disk.driver.write({ chunk: 0 }, pattern(4096, 1))).toBe(0);
    expect(await disk.driver.write({ chunk: 1 }, pattern(4096, 1))).toBe(0);
    return disk;
  }

  test('nothing begins; a write, a sync and a punch go on when it opens', async () => {
    for (const what of ['write', 'sync', 'punch'] as const) {
      const { fence, driver } = await written();
      closeWhenAsked(fence);
      const errnos: number[] = [];
      const asked = {
        write: () => driver.write({ chunk: 0 }, pattern(4096, 2)),
        sync: () => driver.sync(),
        punch: () => driver.punch({ chunk: 0 }, CHUNK_BYTES),
      };
      const ended = asked[what]().then((errno) => errnos.push(errno));
      await retries();
      expect(errnos).toEqual([]);
      fence.open();
      await ended;
      expect(errnos).toEqual([0]);
      const expected = { write: pattern(4096, 2), sync: pattern(4096, 1), punch: zeros(4096) };
      expectBytes(await driver.read({ chunk: 0 }, 4096), expected[what]);
    }
  });

  test('nothing begins, and all fails when the volume is lost', async () => {
    const { fence, driver } = await written();
    closeWhenAsked(fence);
    const write = driver.write({ chunk: 0 }, pattern(4096, 2));
    await retries();
    const sync = driver.sync();
    const punch = driver.punch({ chunk: 1 }, CHUNK_BYTES);
    fence.lose();
    expect(await Promise.all([write, sync, punch])).toEqual([EIO, EIO, EIO]);
  });

  test('a sync that was given back has failed nothing for later ones', async () => {
    const { fence, driver } = await written();
    closeWhenAsked(fence);
    const sync = driver.sync();
    await retries();
    fence.open();
    expect(await sync).toBe(0);
    expect(await driver.write({ chunk: 0 }, pattern(4096, 3))).toBe(0);
    expect(await driver.sync()).toBe(0);
  });
});

test('what direct I/O refuses is not tried buffered behind a closed fence', async () => {
  const { fence, tap, driver } = open(true);
  await driver.write({ chunk: 0 }, pattern(4096, 1));
  const before = tap.count('read');
  tap.answers.read.push(-EINVAL, -EINVAL);
  const memory = alignedArea(newDirectory(), 4096);
  const read = driver.transfer(CHUNK_READ, { chunk: 0 }, memory, 0, 4096);
  fence.close();
  await retries();
  expect(tap.count('read')).toBe(before + 1);
  fence.open();
  expect(await read).toBe(0);
  expectBytes(memory.bytes.subarray(0, 4096), pattern(4096, 1));
});

test('zeros that stand for a hole wait for the fence between their pieces', async () => {
  const { fence, tap, driver } = open();
  await driver.write({ chunk: 0 }, pattern(CHUNK_BYTES, 1));
  const before = tap.count('write');
  tap.answers.punch.push(-EOPNOTSUPP);
  const punched = driver.punch({ chunk: 0 }, CHUNK_BYTES);
  fence.close();
  await retries();
  expect(tap.count('write')).toBe(before);
  fence.open();
  expect(await punched).toBe(0);
  expectBytes(await driver.read({ chunk: 0 }, CHUNK_BYTES), zeros(CHUNK_BYTES));
});

test('zeros that stand for a hole fail when the volume is lost', async () => {
  const { fence, tap, driver } = open();
  await driver.write({ chunk: 0 }, pattern(CHUNK_BYTES, 1));
  tap.answers.punch.push(-EOPNOTSUPP);
  const punched = driver.punch({ chunk: 0 }, CHUNK_BYTES);
  fence.close();
  await retries();
  fence.lose();
  expect(await punched).toBe(EIO);
});

describe('more writes than the engine begins at once', () => {
  const count = 3 * LIBUV_THREADS_DEFAULT;

  function writeMany({ driver, fence }: Opened): Promise<number>[] {
    const memory = heapArea(512);
    const all: Promise<number>[] = [];
    for (let chunk = 0; chunk < count; chunk++) {
      all.push(driver.submit(CHUNK_WRITE, { chunk: 2 * chunk }, memory, 0, 512));
    }
    driver.store.kick();
    fence.close();
    return all;
  }

  test('wait where they can be stopped, and go on', async () => {
    const disk = open();
    const all = writeMany(disk);
    await retries();
    expect(count).toBeLessThan(TRANSFERS_IN_FLIGHT_MAX);
    expect(disk.tap.count('write')).toBe(LIBUV_THREADS_DEFAULT);
    disk.fence.open();
    expect(new Set(await Promise.all(all))).toEqual(new Set([0]));
  });

  test('fail when the volume is lost, but for those that the kernel has', async () => {
    const disk = open();
    const all = writeMany(disk);
    await retries();
    const sync = disk.driver.sync();
    disk.fence.lose();
    const errnos = await Promise.all(all);
    expect(errnos.filter((errno) => errno === 0).length).toBe(LIBUV_THREADS_DEFAULT);
    expect(errnos.filter((errno) => errno === EIO).length).toBe(count - LIBUV_THREADS_DEFAULT);
    expect(await sync).toBe(EIO);
  });
});
