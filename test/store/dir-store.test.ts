/** What the directory store does with files: descriptors, direct I/O, odd engines, full disks. */
import { constants, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { CHUNK_READ, CHUNK_WRITE } from '../../lib/store/chunk-io';
import { directAlignmentBytes } from '../../lib/store/dir/direct-alignment';
import { DirStore, storeFreeBytes } from '../../lib/store/dir/dir-store';
import { extentPath, layerDirectory } from '../../lib/store/dir/extent-path';
import {
  EXTENT_BYTES,
  EXTENT_FILES_OPEN_MAX,
  INTERRUPTION_RETRY_MS,
  INTERRUPTIONS_MAX,
  TRANSFERS_IN_FLIGHT_MAX,
} from '../../lib/store/limits';
import { heapArea, type MemoryArea } from '../../lib/store/memory-area';
import { alignedArea } from './aligned-area';
import { fastBase, flagsOf, openPaths, storeDirectories } from './store-directory';
import { expectBytes, pattern, StoreDriver, zeros } from './store-driver';
import { Tap } from './tapped-engine';

const CHUNK_BYTES = 64 * 1024;
const EIO = 5;
const EAGAIN = 11;
const EINTR = 4;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const { O_DIRECT, O_RDWR } = constants;

const newDirectory = storeDirectories();
const newFastDirectory = storeDirectories(fastBase());

interface Opened {
  readonly driver: StoreDriver;
  readonly tap: Tap;
  readonly directory: string;
}

const opened: StoreDriver[] = [];

function open(options: { directory?: string; direct?: boolean; readOnly?: boolean } = {}): Opened {
  const { directory = newDirectory(), direct = true, readOnly = false } = options;
  const tap = new Tap();
  const store = new DirStore({
    directory,
    chunkBytes: CHUNK_BYTES,
    direct,
    readOnly,
    openEngine: tap.open,
  });
  const driver = new StoreDriver(store);
  opened.push(driver);
  return { driver, tap, directory };
}

afterEach(async () => {
  for (const { store } of opened.splice(0)) await store.close();
});

describe('files', () => {
  test('hold the data where docs/formats.md says, and hand it to the next process', async () => {
    const { driver, directory } = open();
    await driver.write({ layer: 0x1a, chunk: 3, offset: 512 }, pattern(1024, 1));
    await driver.sync();
    expect(extentPath(directory, 0x1a, 0)).toBe(join(directory, 'layers/0000001a/00000000'));
    expect(statSync(extentPath(directory, 0x1a, 0)).size).toBe(3 * CHUNK_BYTES + 512 + 1024);
    const beyond = EXTENT_BYTES / CHUNK_BYTES + 2;
    await driver.write({ layer: 0x1a, chunk: beyond }, pattern(1024, 1));
    expect(statSync(extentPath(directory, 0x1a, 1)).size).toBe(2 * CHUNK_BYTES + 1024);
    const next = open({ directory }).driver;
    expectBytes(await next.read({ layer: 0x1a, chunk: 3, offset: 512 }, 1024), pattern(1024, 1));
  });

  test('are private to their user', async () => {
    const { driver, directory } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    expect(statSync(extentPath(directory, 1, 0)).mode & 0o077).toBe(0);
    expect(statSync(layerDirectory(directory, 1)).mode & 0o077).toBe(0);
  });

  test('are not made by reads and punches', async () => {
    const { driver, directory } = open();
    await driver.read({ layer: 4, chunk: 0 }, 512);
    await driver.punch({ layer: 4, chunk: 0 }, CHUNK_BYTES);
    await driver.sync();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('are open up to a limit, and closed ones are opened again', async () => {
    const { driver, directory } = open({ directory: newFastDirectory() });
    const layers = EXTENT_FILES_OPEN_MAX + 40;
    for (let layer = 1; layer <= layers; layer++) {
      await driver.write({ layer, chunk: 0 }, pattern(512, layer));
      await driver.sync();
    }
    expect(new Set(openPaths(directory)).size).toBe(EXTENT_FILES_OPEN_MAX);
    for (let layer = 1; layer <= layers; layer++) {
      expectBytes(await driver.read({ layer, chunk: 0 }, 512), pattern(512, layer));
    }
    expect(new Set(openPaths(directory)).size).toBe(EXTENT_FILES_OPEN_MAX);
    await driver.store.close();
    opened.pop();
    expect(openPaths(directory)).toEqual([]);
  });

  test('are registered with the engine for as long as they are open', async () => {
    const { driver, tap, directory } = open();
    const flags = (): string[] => [...tap.registered].map((fd) => String(flagsOf(fd) & O_DIRECT));
    await driver.write({ layer: 1, chunk: 0 }, pattern(1024, 1));
    await driver.write({ layer: 2, chunk: 0 }, pattern(1024, 2));
    expect(tap.registered.size).toBe(openPaths(directory).length);
    expect(new Set(flags())).toEqual(new Set([String(O_DIRECT), '0']));
    await driver.store.deleteLayer(1);
    expect(tap.registered.size).toBe(openPaths(directory).length);
    opened.pop();
    await driver.store.close();
    expect(tap.registered.size).toBe(0);
    expect(openPaths(directory)).toEqual([]);
  });

  test('that were written and not synced stay open beyond the limit, until a sync', async () => {
    const { driver, directory } = open({ directory: newFastDirectory() });
    const layers = EXTENT_FILES_OPEN_MAX + 5;
    for (let layer = 1; layer <= layers; layer++) {
      await driver.write({ layer, chunk: 0 }, pattern(512, layer));
    }
    expect(new Set(openPaths(directory)).size).toBe(layers);
    await driver.sync();
    await driver.write({ layer: layers + 1, chunk: 0 }, pattern(512, 1));
    expect(new Set(openPaths(directory)).size).toBe(EXTENT_FILES_OPEN_MAX);
  });

  test('of a read-only store are opened for reading only', async () => {
    const { driver, directory } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    const reader = open({ directory, readOnly: true });
    expectBytes(await reader.driver.read({ chunk: 0 }, 512), pattern(512, 1));
    expect(reader.tap.seen.every(({ flags }) => (flags & O_RDWR) === 0)).toBe(true);
  });

  test('that cannot be opened fail their transfers alone', async () => {
    const { driver, directory } = open();
    await driver.write({ layer: 1, chunk: 0 }, pattern(512, 1));
    mkdirSync(extentPath(directory, 2, 0), { recursive: true });
    expect(await driver.write({ layer: 2, chunk: 0 }, pattern(512, 2))).not.toBe(0);
    await expect(driver.read({ layer: 2, chunk: 0 }, 512)).rejects.toThrow('errno');
    expect(await driver.punch({ layer: 2, chunk: 0 }, 512)).not.toBe(0);
    expectBytes(await driver.read({ layer: 1, chunk: 0 }, 512), pattern(512, 1));
  });
});

describe('direct I/O', () => {
  let area: MemoryArea & { unmap(): void };

  beforeAll(() => {
    area = alignedArea(newDirectory(), 2 * CHUNK_BYTES);
  });
  afterAll(() => area.unmap());

  async function roundTrip(
    driver: StoreDriver,
    memory: MemoryArea,
    at: { offset: number; memoryOffset: number; length: number },
  ): Promise<void> {
    const { offset, memoryOffset, length } = at;
    const bytes = pattern(length, 3);
    bytes.copy(memory.bytes, memoryOffset);
    const place = { chunk: 1, offset };
    expect(await driver.transfer(CHUNK_WRITE, place, memory, memoryOffset, length)).toBe(0);
    memory.bytes.fill(0xee);
    expect(await driver.transfer(CHUNK_READ, place, memory, memoryOffset, length)).toBe(0);
    expectBytes(memory.bytes.subarray(memoryOffset, memoryOffset + length), bytes);
  }

  test('takes aligned transfers of aligned memory', async () => {
    const { driver, tap } = open();
    if (driver.store.describe().direct !== true) return;
    await roundTrip(driver, area, { offset: 4096, memoryOffset: 8192, length: 12288 });
    expect(tap.seen.map(({ flags }) => (flags & O_DIRECT) !== 0)).toEqual([true, true]);
  });

  test.each([
    ['an offset', { offset: 1, memoryOffset: 0, length: 512 }],
    ['a length', { offset: 0, memoryOffset: 0, length: 511 }],
    ['a memory offset', { offset: 0, memoryOffset: 1, length: 512 }],
  ])('leaves to the page cache what has %s that is not aligned', async (_, at) => {
    const { driver, tap } = open();
    await roundTrip(driver, area, at);
    expect(tap.seen.map(({ flags }) => (flags & O_DIRECT) !== 0)).toEqual([false, false]);
  });

  test('leaves heap memory to the page cache, and both see the same data', async () => {
    const { driver, tap } = open();
    await roundTrip(driver, heapArea(CHUNK_BYTES), { offset: 0, memoryOffset: 0, length: 8192 });
    expect(tap.seen.map(({ flags }) => (flags & O_DIRECT) !== 0)).toEqual([false, false]);
    await driver.transfer(CHUNK_READ, { chunk: 1 }, area, 0, 8192);
    expectBytes(area.bytes.subarray(0, 8192), pattern(8192, 3));
  });

  test('can be turned off', async () => {
    const { driver, tap } = open({ direct: false });
    await roundTrip(driver, area, { offset: 0, memoryOffset: 0, length: 4096 });
    expect(tap.seen.map(({ flags }) => (flags & O_DIRECT) !== 0)).toEqual([false, false]);
    expect(driver.store.describe()).toMatchObject({ direct: false });
  });

  test('that a file system refuses for one transfer is tried once more without', async () => {
    const { driver, tap } = open();
    tap.answers.write.push(-EINVAL);
    tap.answers.read.push(-EINVAL);
    await roundTrip(driver, area, { offset: 0, memoryOffset: 0, length: 4096 });
    expect(tap.count('write') + tap.count('read')).toBe(4);
  });

  test('needs a power of two as its alignment', () => {
    const bytes = directAlignmentBytes(newDirectory());
    expect(bytes).toBeGreaterThanOrEqual(512);
    expect(Math.log2(bytes) % 1).toBe(0);
  });
});

describe('an engine', () => {
  test('that moves a little at a time still moves all of it', async () => {
    const { driver, tap } = open();
    tap.lengthMax = 1000;
    expect(await driver.write({ chunk: 1 }, pattern(8192, 1))).toBe(0);
    expectBytes(await driver.read({ chunk: 1 }, 8192), pattern(8192, 1));
    expect(tap.count('write')).toBe(9);
  });

  test.each([EAGAIN, EINTR])('that says errno %d is asked again', async (errno) => {
    const { driver, tap } = open();
    tap.answers.write.push(-errno);
    expect(await driver.write({ chunk: 1 }, pattern(512, 1))).toBe(0);
    tap.answers.read.push(-errno);
    expectBytes(await driver.read({ chunk: 1 }, 512), pattern(512, 1));
  });

  describe('that is interrupted again and again', () => {
    beforeEach(() => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'performance', 'hrtime'] });
    });
    afterEach(() => jest.useRealTimers());

    /** Lets time pass until the transfer ends; resolves to its errno and how often it was begun. */
    async function writeAmid(interruptions: number): Promise<[errno: number, begun: number]> {
      const { driver, tap } = open();
      tap.answers.write.push(...new Array<number>(interruptions).fill(-EAGAIN));
      let errno: number | null = null;
      void driver.write({ chunk: 1 }, pattern(512, 1)).then((ended) => (errno = ended));
      const turnsMax = 1_000_000;
      for (let turn = 0; errno === null && turn < turnsMax; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
        jest.advanceTimersByTime(INTERRUPTION_RETRY_MS);
      }
      return [errno ?? -1, tap.count('write')];
    }

    test('is waited for as long as the limit says', async () => {
      expect(await writeAmid(INTERRUPTIONS_MAX)).toEqual([0, INTERRUPTIONS_MAX + 1]);
    });

    test('fails beyond it', async () => {
      expect(await writeAmid(INTERRUPTIONS_MAX + 1)).toEqual([EAGAIN, INTERRUPTIONS_MAX + 1]);
    });
  });

  test('that fails fails that transfer only', async () => {
    const { driver, tap } = open();
    tap.answers.write.push(-EIO);
    const [first, second] = [pattern(512, 1), pattern(512, 2)];
    const errnos = await Promise.all([
      driver.write({ chunk: 1 }, first),
      driver.write({ chunk: 2 }, second),
    ]);
    expect(errnos).toEqual([EIO, 0]);
    expectBytes(await driver.read({ chunk: 2 }, 512), second);
  });

  test('that writes nothing is an error, not an endless loop', async () => {
    const { driver, tap } = open();
    tap.answers.write.push(0);
    expect(await driver.write({ chunk: 1 }, pattern(512, 1))).toBe(EIO);
  });

  test('that cannot punch gets zeros to write, short writes too', async () => {
    const { driver, tap } = open();
    await driver.write({ chunk: 1 }, pattern(CHUNK_BYTES, 1));
    tap.answers.punch.push(-EOPNOTSUPP);
    tap.lengthMax = 5000;
    expect(await driver.punch({ chunk: 1, offset: 512 }, 20_480)).toBe(0);
    const expected = pattern(CHUNK_BYTES, 1).fill(0, 512, 512 + 20_480);
    expectBytes(await driver.read({ chunk: 1 }, CHUNK_BYTES), expected);
    expect(await driver.punch({ chunk: 1 }, CHUNK_BYTES)).toBe(0);
    expect(tap.count('punch')).toBe(1);
    expectBytes(await driver.read({ chunk: 1 }, CHUNK_BYTES), zeros(CHUNK_BYTES));
    await driver.sync();
    expect(tap.count('datasync')).toBe(1);
  });
});

describe('a sync', () => {
  test('syncs what was written since the last one, and only that', async () => {
    const { driver, tap } = open();
    await driver.write({ layer: 1, chunk: 0 }, pattern(512, 1));
    await driver.write({ layer: 2, chunk: 0 }, pattern(512, 1));
    await driver.sync();
    expect(tap.count('datasync')).toBe(2);
    await driver.sync();
    expect(tap.count('datasync')).toBe(2);
    await driver.punch({ layer: 2, chunk: 0 }, 512);
    await driver.read({ layer: 1, chunk: 0 }, 512);
    await driver.sync();
    expect(tap.count('datasync')).toBe(3);
  });

  test('is not answered before one that began earlier and carries its data', async () => {
    const { driver, tap } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    tap.holdsSyncs = true;
    const ended: string[] = [];
    const first = driver.sync().then(() => ended.push('first'));
    const second = driver.sync().then(() => ended.push('second'));
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toEqual([]);
    tap.holdsSyncs = false;
    tap.held.shift()?.();
    await Promise.all([first, second]);
    expect(ended).toEqual(['first', 'second']);
  });

  test('that failed once fails for ever: nobody can tell what was lost', async () => {
    const { driver, tap } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    tap.answers.datasync.push(-EIO);
    expect(await driver.sync()).toBe(EIO);
    expect(await driver.sync()).toBe(EIO);
    await driver.write({ chunk: 0 }, pattern(512, 2));
    expect(await driver.sync()).toBe(EIO);
  });

  test('and a punch have their turn while transfers wait', async () => {
    const { driver } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    const memory = heapArea(512);
    const order: string[] = [];
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < 3 * TRANSFERS_IN_FLIGHT_MAX; i++) {
      const read = driver.submit(CHUNK_READ, { chunk: 0 }, memory, 0, 512);
      all.push(read.then(() => order.push('read')));
    }
    all.push(driver.sync().then(() => order.push('sync')));
    all.push(driver.punch({ chunk: 0 }, 512).then(() => order.push('punch')));
    driver.store.kick();
    await Promise.all(all);
    for (const control of ['sync', 'punch']) {
      expect(order.indexOf(control)).toBeLessThan(order.lastIndexOf('read') - 512);
    }
  });
});

describe('a layer left by a killed process', () => {
  test('that cannot be settled is refused with its place', async () => {
    const { driver, directory } = open();
    await driver.write({ chunk: 0 }, pattern(512, 1));
    symlinkSync('/nonexistent/extent', extentPath(directory, 1, 1));
    await expect(driver.store.settleLayer(1)).rejects.toMatchObject({
      code: 'LAYER_NOT_SETTLED',
      message: expect.stringContaining(layerDirectory(directory, 1)) as string,
    });
  });
});

describe('free space', () => {
  test('is told in bytes', async () => {
    expect(await storeFreeBytes(newDirectory())).toBeGreaterThan(0);
  });

  test('of a directory that is not there is refused with its path', async () => {
    await expect(storeFreeBytes('/nonexistent/store')).rejects.toMatchObject({
      code: 'STORE_UNREADABLE',
      message: expect.stringContaining('/nonexistent/store') as string,
    });
  });
});
