/** What every watch does, with the addon and without: one suite, run for both. */
import { closeSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readNow, writeNow } from '../../native-bindings/doorbell-io';
import * as posix from '../../native-bindings/posix';
import {
  type Watch,
  type WatchReadable,
  watchReadable as watchWithReadiness,
} from '../../native-bindings/readiness';
import { temporaryDirectory } from './temporary-directory';
import { thrownBy } from './thrown-by';

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** `watchReadable` as readiness.ts has it, or an engine. */
export function describeReadiness(watchReadable: WatchReadable = watchWithReadiness): void {
  const directory = temporaryDirectory();
  const open: number[] = [];
  const watches: Watch[] = [];

  function kept(fd: number): number {
    open.push(fd);
    return fd;
  }
  function fifo(name: string): number {
    const path = join(directory, name);
    posix.mkfifo(path);
    return kept(posix.open(path, posix.O_RDWR | posix.O_NONBLOCK));
  }
  function watch(fd: number, onReadable: () => void, keepAlive = true): Watch {
    const made = watchReadable(fd, onReadable, { keepAlive });
    watches.push(made);
    return made;
  }
  /** A watch that counts its calls. */
  function counter(fd: number): { calls: number; next(): Promise<void>; watch: Watch } {
    let waiting: (() => void) | undefined;
    const made = {
      calls: 0,
      watch: watch(fd, () => {
        made.calls++;
        waiting?.();
      }),
      next: () => new Promise<void>((resolve) => (waiting = resolve)),
    };
    return made;
  }
  /** When anything else that was due has been told: a second file becomes readable and is told. */
  async function settled(): Promise<void> {
    const fd = kept(posix.eventfd());
    const marker = counter(fd);
    for (let round = 0; round < 2; round++) {
      const told = marker.next();
      writeSync(fd, ONE);
      await told;
    }
    await new Promise((resolve) => setImmediate(resolve));
    marker.watch.stop();
  }

  afterEach(() => {
    for (const made of watches.splice(0)) made.stop();
    for (const fd of open.splice(0)) closeSync(fd);
  });

  test('a write to a FIFO is told', async () => {
    const fd = fifo('told');
    const told = counter(fd);
    const next = told.next();
    expect(writeNow(fd, new Uint8Array([7]))).toBe(1);
    await next;
    const bytes = new Uint8Array(8);
    expect(readNow(fd, bytes)).toBe(1);
    expect(bytes[0]).toBe(7);
    expect(readNow(fd, bytes)).toBe(-11);
  });

  test('a file that is readable at first is told', async () => {
    const fd = kept(posix.eventfd(3));
    await counter(fd).next();
  });

  test('what is not taken is told once, and again when more arrives', async () => {
    const fd = kept(posix.eventfd());
    const told = counter(fd);
    const first = told.next();
    writeSync(fd, ONE);
    await first;
    await settled();
    const afterFirst = told.calls;
    await settled();
    expect(told.calls).toBe(afterFirst);
    const second = told.next();
    writeSync(fd, ONE);
    await second;
    expect(told.calls).toBeGreaterThan(afterFirst);
  });

  test('an empty file is not told', async () => {
    const told = counter(fifo('quiet'));
    await settled();
    expect(told.calls).toBe(0);
  });

  test('poll asks the kernel, whatever was told before', async () => {
    const fd = kept(posix.eventfd());
    const told = counter(fd);
    expect(told.watch.poll()).toBe(false);
    const next = told.next();
    writeSync(fd, ONE);
    expect(told.watch.poll()).toBe(true);
    await next;
    expect(told.watch.poll()).toBe(true);
    readNow(fd, new Uint8Array(8));
    expect(told.watch.poll()).toBe(false);
  });

  test('nothing is told after stop, and the file may be closed at once', async () => {
    const fd = fifo('stopped');
    const told = counter(fd);
    writeNow(fd, new Uint8Array([1]));
    told.watch.stop();
    told.watch.stop();
    await settled();
    expect(told.calls).toBe(0);
  });

  test('a watch may stop itself and another from within its call', async () => {
    const first = kept(posix.eventfd());
    const second = kept(posix.eventfd());
    let calls = 0;
    const both: Watch[] = [];
    const stopBoth = (): void => {
      calls++;
      for (const each of both) each.stop();
    };
    both.push(watch(first, stopBoth), watch(second, stopBoth));
    writeSync(first, ONE);
    writeSync(second, ONE);
    await settled();
    expect(calls).toBe(1);
  });

  test('a file watched again after a stop is told again', async () => {
    const fd = kept(posix.eventfd());
    counter(fd).watch.stop();
    const again = counter(fd);
    const next = again.next();
    writeSync(fd, ONE);
    await next;
    expect(again.calls).toBeGreaterThan(0);
  });

  test('an ordinary file cannot be watched', () => {
    const fd = kept(posix.open(join(directory, 'ordinary'), posix.O_CREAT | posix.O_RDWR));
    expect(thrownBy(() => watch(fd, () => undefined))).toMatchObject({
      code: 'EPERM',
    });
    expect(thrownBy(() => watch(123456, () => undefined))).toMatchObject({ code: 'EBADF' });
  });
}
