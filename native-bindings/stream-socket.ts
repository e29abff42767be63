/** Stream sockets below Node's own streams: their descriptors, and many pieces sent by one call. */
import type { Socket } from 'node:net';
import { assert } from '../lib/assert';
import { type Addon, addon } from './addon';
import type { EngineMemory } from './io-engine';
import { SystemCallError } from './system-call-error';

/** struct iovec: address and length, 64 bits each. */
const VECTOR_WORDS = 4;
const HALF = 2 ** 32;

/** Linux's UIO_MAXIOV: the pieces that one call can take. */
export const PIECES_MAX = 1024;

/**
 * A new descriptor of a connected socket's file, which the caller closes or hands to a socket of
 * its own, or null where there is none to be had: without the addon, and for sockets that Node
 * does not keep a descriptor for.
 *
 * @throws SystemCallError EMFILE, …
 */
export function duplicateDescriptor(socket: Socket): number | null {
  const native = addon();
  // Node has no public name for it; where it goes away one day, so does a short cut, no more.
  const fd = (socket as unknown as { _handle?: { fd?: unknown } })._handle?.fd;
  if (native === null || typeof fd !== 'number' || fd < 0) return null;
  const duplicate = native.duplicate(fd);
  if (duplicate < 0) throw new SystemCallError('fcntl', -duplicate);
  return duplicate;
}

/**
 * Asks for so many bytes that a socket takes without their being read at the other end; the kernel
 * gives up to twice net.core.wmem_max. Without the addon it stays as it is.
 */
export function setSendBuffer(fd: number, lengthBytes: number): void {
  addon()?.setSendBuffer(fd, lengthBytes);
}

/**
 * Pieces of memory to be sent by one sendmsg(2), in order, without a copy or an allocation. Only
 * memory with an address; it is read during `send` and not later.
 */
export class PieceList {
  /** Pieces added since the last `clear`. */
  count = 0;
  /** Bytes of all of them. */
  lengthBytes = 0;
  private readonly words = new Uint32Array(PIECES_MAX * VECTOR_WORDS);
  private readonly bytes = new Uint8Array(this.words.buffer);

  private constructor(private readonly native: Addon) {}

  /** Null without the addon. */
  static create(): PieceList | null {
    const native = addon();
    return native === null ? null : new PieceList(native);
  }

  clear(): void {
    this.count = 0;
    this.lengthBytes = 0;
  }

  /** `offset` and `length` are bytes within the memory. At most PIECES_MAX pieces. */
  add(memory: EngineMemory, offset: number, length: number): void {
    assert(this.count < PIECES_MAX, 'a list holds no more pieces than its limit');
    assert(memory.address !== 0, 'a piece has an address');
    assert(offset >= 0 && offset + length <= memory.bytes.length, 'a piece lies in its memory');
    const { words } = this;
    const at = this.count++ * VECTOR_WORDS;
    const address = memory.address + offset;
    words[at] = address;
    words[at + 1] = address / HALF;
    words[at + 2] = length;
    this.lengthBytes += length;
  }

  /** Bytes that the socket took, perhaps fewer than all; or a negative errno (-11 EAGAIN). */
  send(fd: number): number {
    return this.native.sendVector(fd, this.bytes, this.count);
  }
}
