/** What every engine does: one suite, run for each kind. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { EngineMemory, IoEngine } from '../../native-bindings/io-engine';
import { type Mapping, mapShared } from '../../native-bindings/mapping';
import { openIoEngine } from '../../native-bindings/open-engine';
import * as posix from '../../native-bindings/posix';
import { errnoOf } from '../../lib/errors';
import { testWhere } from '../where';
import { temporaryDirectory } from './temporary-directory';

const EBADF = -9;
const EINVAL = -22;
const ECANCELED = -125;
const PAGE = 4096;
const TEBIBYTE = 2 ** 40;

export function describeEngine(kind: 'io_uring' | 'threads'): void {
  const directory = temporaryDirectory();
  /** The kernel registers tmpfs pages; those of files on disks it does not keep in place. */
  const memoryDirectory = fs.existsSync('/dev/shm') ? temporaryDirectory('/dev/shm') : directory;
  const open: number[] = [];
  const mappings: Mapping[] = [];
  let engine: IoEngine;
  /** Results by token, in the order they were told. */
  let results: Map<number, number>;
  let batches: number;
  let quiet: (() => void) | undefined;
  let onDone: (token: number, result: number) => void;

  beforeEach(() => {
    results = new Map();
    batches = 0;
    onDone = () => undefined;
    engine = openIoEngine(
      (token, result) => {
        expect(results.has(token)).toBe(false);
        results.set(token, result);
        onDone(token, result);
      },
      () => {
        batches++;
        engine.submit();
        if (engine.inFlight === 0) quiet?.();
      },
      kind,
    );
  });
  afterEach(() => {
    engine.close();
    for (const fd of open.splice(0)) fs.closeSync(fd);
    for (const mapping of mappings.splice(0)) mapping.unmap();
  });

  function file(name: string, flags = 0, parent = directory): number {
    const fd = posix.open(join(parent, name), posix.O_CREAT | posix.O_RDWR | flags);
    open.push(fd);
    return fd;
  }
  function pages(count: number): Mapping {
    const fd = file(`pages-${mappings.length}`, 0, memoryDirectory);
    fs.ftruncateSync(fd, count * PAGE);
    const mapping = mapShared(fd, count * PAGE);
    mappings.push(mapping);
    return mapping;
  }
  function heap(bytes: Buffer): EngineMemory {
    return { bytes, address: 0 };
  }
  /** Hands over, and resolves when nothing is in flight. */
  async function finish(): Promise<void> {
    if (engine.inFlight === 0) return;
    const done = new Promise<void>((resolve) => (quiet = resolve));
    engine.submit();
    await done;
  }

  test('is of the kind asked for', () => {
    expect(engine.kind).toBe(kind);
    expect(engine.reason).toBe(kind === 'io_uring' ? null : 'threads were asked for');
  });

  test('writes and reads heap memory', async () => {
    const fd = file('heap');
    const from = heap(Buffer.from('..written by an engine..'));
    engine.write(fd, from, 2, 20, 1000, 7);
    expect(engine.inFlight).toBe(1);
    await finish();
    expect(results).toEqual(new Map([[7, 20]]));
    expect(fs.readFileSync(join(directory, 'heap')).subarray(1000)).toEqual(
      from.bytes.subarray(2, 22),
    );
    const to = heap(Buffer.alloc(30, '-'));
    engine.read(fd, to, 5, 20, 1000, 8);
    await finish();
    expect(results.get(8)).toBe(20);
    expect(to.bytes.toString()).toBe('-----written by an engine-----');
  });

  test('writes and reads mapped memory, registered or not', async () => {
    const fd = file('mapped');
    const area = pages(4);
    for (let round = 0; round < 4; round++) {
      if (round === 1) engine.registerMemory(area);
      if (round === 3) engine.unregisterMemory(area);
      const tag = `round ${round}`.padEnd(100, '.');
      area.bytes.fill(0);
      area.bytes.write(tag, PAGE + 100);
      engine.write(fd, area, PAGE + 100, 100, round * 100, round * 2);
      await finish();
      engine.read(fd, area, 3 * PAGE, 100, round * 100, round * 2 + 1);
      await finish();
      expect(results.get(round * 2)).toBe(100);
      expect(results.get(round * 2 + 1)).toBe(100);
      expect(area.bytes.toString('latin1', 3 * PAGE, 3 * PAGE + 100)).toBe(tag);
    }
  });

  test('more areas than can be registered work all the same', async () => {
    const fd = file('areas');
    const area = pages(80);
    const areas = Array.from({ length: 80 }, (_, index) => ({
      bytes: area.bytes.subarray(index * PAGE, (index + 1) * PAGE),
      address: area.address + index * PAGE,
    }));
    for (const each of areas) engine.registerMemory(each);
    areas.forEach((each, index) => {
      each.bytes.writeUInt32LE(index);
      engine.write(fd, each, 0, 4, index * 4, index);
    });
    await finish();
    const written = fs.readFileSync(join(directory, 'areas'));
    areas.forEach((_, index) => expect(written.readUInt32LE(index * 4)).toBe(index));
    for (const each of areas) engine.unregisterMemory(each);
  });

  test('a descriptor that is used again means the new file, whether it was registered or is', async () => {
    const area = pages(1);
    for (const [round, isRegistered] of [true, false, true].entries()) {
      const path = join(directory, `again-${round}`);
      const fd = posix.open(path, posix.O_CREAT | posix.O_RDWR);
      if (isRegistered) engine.registerFile(fd);
      area.bytes.write(`file ${round}`);
      engine.write(fd, area, 0, 6, 0, 3 * round);
      await finish();
      engine.datasync(fd, 3 * round + 1);
      engine.punch(fd, 0, 1, 3 * round + 2);
      await finish();
      engine.unregisterFile(fd);
      fs.closeSync(fd);
      expect(fs.readFileSync(path, 'latin1')).toBe(`\0ile ${round}`);
    }
    expect(new Set(results.values())).toEqual(new Set([6, 0]));
  });

  test('a read across the end is short, one beyond it 0', async () => {
    const fd = file('short');
    fs.writeSync(fd, 'twelve bytes');
    const to = heap(Buffer.alloc(100));
    engine.read(fd, to, 0, 100, 5, 1);
    engine.read(fd, to, 50, 10, 12, 2);
    engine.read(fd, to, 50, 10, 5 * TEBIBYTE, 3);
    await finish();
    expect(results.get(1)).toBe(7);
    expect(results.get(2)).toBe(0);
    expect(results.get(3)).toBe(0);
    expect(to.bytes.toString('latin1', 0, 7)).toBe(' bytes'.padStart(7, 'e'));
  });

  test('positions beyond 4 TiB are exact', async () => {
    const fd = file('far');
    const at = 5 * TEBIBYTE + 2 ** 31 + 12345;
    engine.write(fd, heap(Buffer.from('far out')), 0, 7, at, 1);
    await finish();
    expect(posix.lseek(fd, 0, posix.SEEK_END)).toBe(at + 7);
    const to = heap(Buffer.alloc(7));
    engine.read(fd, to, 0, 7, at, 2);
    await finish();
    expect(to.bytes.toString()).toBe('far out');
    engine.punch(fd, 5 * TEBIBYTE, 2 ** 33, 3);
    await finish();
    expect(results.get(3)).toBe(0);
    expect(posix.lseek(fd, 0, posix.SEEK_END)).toBe(at + 7);
    engine.read(fd, to, 0, 7, at, 4);
    await finish();
    expect(to.bytes).toEqual(Buffer.alloc(7));
  });

  test('punch makes zeros and gives blocks back, datasync is told 0', async () => {
    const fd = file('punched');
    fs.writeSync(fd, Buffer.alloc(16 * PAGE, 0xee));
    engine.datasync(fd, 1);
    await finish();
    const before = fs.fstatSync(fd).blocks;
    engine.punch(fd, PAGE, 14 * PAGE, 2);
    await finish();
    expect([results.get(1), results.get(2)]).toEqual([0, 0]);
    expect(before - fs.fstatSync(fd).blocks).toBeGreaterThanOrEqual((14 * PAGE) / 512);
    const bytes = fs.readFileSync(join(directory, 'punched'));
    expect(bytes.subarray(PAGE, 15 * PAGE)).toEqual(Buffer.alloc(14 * PAGE));
    expect(bytes[PAGE - 1]).toBe(0xee);
    expect(bytes[15 * PAGE]).toBe(0xee);
  });

  test('a file that is not open is EBADF to every operation', async () => {
    const memory = heap(Buffer.alloc(16));
    for (const [index, fd] of [123456, -1].entries()) {
      engine.read(fd, memory, 0, 16, 0, index * 4);
      engine.write(fd, memory, 0, 16, 0, index * 4 + 1);
      engine.datasync(fd, index * 4 + 2);
      engine.punch(fd, 0, PAGE, index * 4 + 3);
    }
    await finish();
    expect([...results.values()]).toEqual(new Array(8).fill(EBADF));
  });

  test('a write beyond what a file can be is an errno, not a crash', async () => {
    const fd = file('beyond');
    engine.write(fd, heap(Buffer.alloc(16)), 0, 16, Number.MAX_SAFE_INTEGER, 1);
    await finish();
    expect([EINVAL, -27]).toContain(results.get(1));
  });

  const testDirect = testWhere(
    takesDirectIo(directory) ? null : `${directory} takes no O_DIRECT`,
    'direct I/O',
  );
  testDirect('direct I/O works from aligned memory and is EINVAL from other', async () => {
    const fd = file('direct', posix.O_DIRECT);
    const area = pages(2);
    area.bytes.fill(0xd1, 0, PAGE);
    engine.registerMemory(area);
    engine.write(fd, area, 0, PAGE, PAGE, 1);
    await finish();
    engine.read(fd, area, PAGE, PAGE, PAGE, 2);
    engine.read(fd, area, 0, PAGE, 100, 3);
    await finish();
    expect([results.get(1), results.get(2), results.get(3)]).toEqual([PAGE, PAGE, EINVAL]);
    expect(area.bytes.subarray(PAGE)).toEqual(Buffer.alloc(PAGE, 0xd1));
    engine.unregisterMemory(area);
  });

  test('6000 queued operations are all done, each once, each with its own bytes', async () => {
    const COUNT = 6000;
    const fd = file('many');
    const area = pages(Math.ceil((COUNT * 8) / PAGE));
    const bytes = area.bytes;
    for (let index = 0; index < COUNT; index++) {
      bytes.writeUInt32LE(
        index * 2654435761 - Math.floor((index * 2654435761) / 2 ** 32) * 2 ** 32,
        index * 8,
      );
      bytes.writeUInt32LE(index, index * 8 + 4);
      engine.write(fd, area, index * 8, 8, (COUNT - 1 - index) * 8, index);
    }
    expect(engine.inFlight).toBe(COUNT);
    await finish();
    expect(engine.inFlight).toBe(0);
    expect(results.size).toBe(COUNT);
    expect([...results.values()].every((result) => result === 8)).toBe(true);
    expect(batches).toBeLessThan(COUNT);
    const to = heap(Buffer.alloc(COUNT * 8));
    results.clear();
    for (let index = 0; index < COUNT; index++) {
      engine.read(fd, to, index * 8, 8, (COUNT - 1 - index) * 8, index);
    }
    await finish();
    expect(results.size).toBe(COUNT);
    expect(to.bytes.equals(bytes.subarray(0, COUNT * 8))).toBe(true);
  });

  test('operations queued by an end run, and none is told inside the call that queues it', async () => {
    const fd = file('chain');
    const memory = heap(Buffer.from('link'));
    let inside = false;
    onDone = (token) => {
      expect(inside).toBe(false);
      if (token === 5000) return;
      inside = true;
      engine.write(fd, memory, 0, 4, token * 4, token + 1);
      if (token % 2 === 0) engine.submit();
      inside = false;
    };
    engine.write(fd, memory, 0, 4, 0, 4990);
    await finish();
    expect(results.size).toBe(11);
  });

  test('poll tells what has ended, without the event loop', async () => {
    const fd = file('polled');
    const memory = heap(Buffer.alloc(512, 'p'));
    expect(engine.poll()).toBe(0);
    engine.write(fd, memory, 0, 512, 0, 9);
    engine.submit();
    // Threads need the loop; the kernel needs time at most.
    if (kind === 'threads') return await finish();
    let told = 0;
    const deadline = Date.now() + 5000;
    while (told === 0 && Date.now() < deadline) told = engine.poll();
    expect(told).toBe(1);
    expect(results.get(9)).toBe(512);
    expect(batches).toBe(1);
  });

  test('memory that a transfer does not fit in is refused before the kernel sees it', () => {
    const memory = heap(Buffer.alloc(16));
    expect(() => engine.read(0, memory, 8, 16, 0, 1)).toThrow('a transfer lies in its memory');
    expect(() => engine.read(0, memory, -1, 4, 0, 1)).toThrow('a transfer lies in its memory');
    expect(() => engine.read(0, memory, 0, 4, -1, 1)).toThrow('position');
    expect(() => engine.read(0, memory, 0, 4, 2 ** 53, 1)).toThrow('position');
    expect(() => engine.read(0, memory, 0, 4, 0, 2 ** 31)).toThrow('token');
    expect(engine.inFlight).toBe(0);
  });

  describe('that is guarded', () => {
    test('asks right before the kernel gets anything, once for all of it', async () => {
      const fd = file('asked');
      let asked = 0;
      engine.guard(() => ++asked > 0);
      const memory = heap(Buffer.from('12345678'));
      engine.write(fd, memory, 0, 4, 0, 1);
      expect(asked).toBe(0);
      await finish();
      expect(asked).toBe(1);
      expect(results).toEqual(new Map([[1, 4]]));
    });

    test('gives back what it may not begin, later and unbegun, and begins what comes when it may', async () => {
      const fd = file('refused');
      fs.writeSync(fd, 'before');
      let isOpen = true;
      engine.guard(() => isOpen);
      const memory = heap(Buffer.from('after!'));
      engine.write(fd, memory, 0, 6, 0, 1);
      engine.datasync(fd, 2);
      engine.punch(fd, 0, 6, 3);
      isOpen = false;
      engine.submit();
      expect(results.size).toBe(0);
      await finish();
      expect([...results]).toEqual([1, 2, 3].map((token) => [token, ECANCELED]));
      expect(fs.readFileSync(join(directory, 'refused'), 'utf8')).toBe('before');
      isOpen = true;
      engine.write(fd, memory, 0, 6, 0, 4);
      await finish();
      expect(results.get(4)).toBe(6);
      expect(fs.readFileSync(join(directory, 'refused'), 'utf8')).toBe('after!');
    });

    test('is asked again for what waited in it', async () => {
      const fd = file('waiting');
      const count = 2 * engine.begunMax;
      const memory = heap(Buffer.alloc(1));
      let isOpen = true;
      engine.guard(() => isOpen);
      for (let token = 0; token < count; token++) engine.write(fd, memory, 0, 1, token, token);
      onDone = () => (isOpen = false);
      await finish();
      const given = [...results.values()].filter((result) => result === ECANCELED).length;
      expect(given).toBe(count - engine.begunMax);
      expect(fs.fstatSync(fd).size).toBe(engine.begunMax);
    });

    test('only before its first operation', async () => {
      engine.datasync(file('late'), 1);
      expect(() => engine.guard(() => true)).toThrow('before its first operation');
      await finish();
    });
  });

  test('an engine with something in flight cannot be closed', async () => {
    engine.datasync(file('busy'), 1);
    expect(() => engine.close()).toThrow('nothing in flight');
    await finish();
  });
}

/** Some file systems (tmpfs of older kernels) refuse to open a file for direct I/O. */
function takesDirectIo(directory: string): boolean {
  try {
    posix.close(
      posix.open(join(directory, 'direct?'), posix.O_CREAT | posix.O_RDWR | posix.O_DIRECT),
    );
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return false;
    throw error;
  }
}
