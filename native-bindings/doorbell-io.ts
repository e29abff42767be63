/** Small reads and writes that never wait: doorbells made of FIFOs, eventfds, event channels. */
import { readSync, writeSync } from 'node:fs';
import { addon } from './addon';

/** write(2) of a non-blocking file; bytes written, or a negative errno (-11 EAGAIN: it is full). */
export function writeNow(fd: number, bytes: Uint8Array): number {
  const native = addon();
  if (native !== null) return native.write(fd, bytes);
  return orErrno(() => writeSync(fd, bytes));
}

/** read(2) of a non-blocking file; bytes read, 0 at the end, or a negative errno (-11 EAGAIN). */
export function readNow(fd: number, bytes: Uint8Array): number {
  const native = addon();
  if (native !== null) return native.read(fd, bytes);
  return orErrno(() => readSync(fd, bytes));
}

function orErrno(transfer: () => number): number {
  try {
    return transfer();
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).errno;
    if (errno === undefined) throw error;
    return errno;
  }
}
