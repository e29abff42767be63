/** Shared memory: a file or a device mapped into this process. */
import { closeSync, openSync } from 'node:fs';
import { assert } from '../lib/assert';
import { addon } from './addon';
import { bytesAt } from './libc';
import { mmap, munmap } from './posix';
import { SystemCallError } from './system-call-error';

/** A shared mapping; fits lib/store's MemoryArea. */
export interface Mapping {
  readonly bytes: Buffer;
  /** Virtual address of bytes[0] in this process. */
  readonly address: number;
  /**
   * Unmaps, once; further calls do nothing. Nothing may use the bytes or the address any more, no
   * operation may be in flight into them. The garbage collector never does this.
   */
  unmap(): void;
}

/**
 * Maps `lengthBytes` of a file, shared, readable and writable. `offsetBytes` is a multiple of the
 * page size (4096).
 *
 * Touching a page that the file or device does not back is a SIGBUS, which nothing catches: the
 * caller knows that the file is long enough.
 *
 * @throws SystemCallError
 */
export function mapShared(fd: number, lengthBytes: number, offsetBytes = 0): Mapping {
  assert(Number.isSafeInteger(lengthBytes) && lengthBytes > 0, 'a mapping has bytes');
  assert(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, 'a mapping offset is positive');
  const native = addon();
  if (native === null) return new ForeignMapping(mmap(fd, lengthBytes, offsetBytes), lengthBytes);
  const memory = native.map(fd, lengthBytes, offsetBytes);
  if (typeof memory === 'number') throw new SystemCallError('mmap', -memory);
  const bytes = Buffer.from(memory);
  let mapped = true;
  return {
    bytes,
    address: native.addressOf(bytes),
    unmap() {
      if (!mapped) return;
      mapped = false;
      const result = native.unmap(memory);
      if (result < 0) throw new SystemCallError('munmap', -result);
    },
  };
}

/**
 * Maps memory of no file: zeroed, page-aligned, taken from the system page by page as it is touched.
 *
 * @throws SystemCallError ENOMEM
 */
export function mapZeroed(lengthBytes: number): Mapping {
  const fd = openSync('/dev/zero', 'r+');
  try {
    return mapShared(fd, lengthBytes);
  } finally {
    closeSync(fd);
  }
}

/** Without the addon: the bytes stay visible after unmap, and touching them is a SIGSEGV. */
class ForeignMapping implements Mapping {
  readonly bytes: Buffer;
  private mapped = true;

  constructor(
    readonly address: number,
    private readonly lengthBytes: number,
  ) {
    this.bytes = bytesAt(address, lengthBytes);
  }

  unmap(): void {
    if (!this.mapped) return;
    this.mapped = false;
    munmap(this.address, this.lengthBytes);
  }
}
