/** A first-in first-out queue of transfers, linked through the transfers themselves. */
import type { ChunkIo } from './chunk-io';

/** Allocates nothing; a transfer is in at most one queue at a time. */
export class IoQueue {
  private head: ChunkIo | null = null;
  private tail: ChunkIo | null = null;

  get isEmpty(): boolean {
    return this.head === null;
  }

  push(io: ChunkIo): void {
    io.next = null;
    if (this.tail === null) this.head = io;
    else this.tail.next = io;
    this.tail = io;
  }

  /** The oldest transfer, or null. */
  shift(): ChunkIo | null {
    const io = this.head;
    if (io === null) return null;
    this.head = io.next;
    if (this.head === null) this.tail = null;
    io.next = null;
    return io;
  }
}
