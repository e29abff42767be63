/** What a directory store does by itself, later, passes the fence too: retries, rests, zero writes. */
import { THREAD_OPERATIONS_MAX } from '../../native-bindings/limits';
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

function open(direct = false): Opened {
  const fence = new FakeFence();
  const tap = new Tap();
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
  const count = 3 * THREAD_OPERATIONS_MAX;

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
    expect(disk.tap.count('write')).toBe(THREAD_OPERATIONS_MAX);
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
    expect(errnos.filter((errno) => errno === 0).length).toBe(THREAD_OPERATIONS_MAX);
    expect(errnos.filter((errno) => errno === EIO).length).toBe(count - THREAD_OPERATIONS_MAX);
    expect(await sync).toBe(EIO);
  });
});
