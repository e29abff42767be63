/** Joins queued transfers that are neighbours in a file, so that one operation carries them. */
import { assert } from '../../assert';
import type { ChunkIo } from '../chunk-io';
import { MERGED_BYTES_MAX } from '../limits';
import type { ExtentFile } from './extent-files';

/**
 * The transfers that were submitted last, linked by their `next` in the order of their places in
 * the file. They may be of several chunks, since neighbouring chunks are neighbours in the file, and
 * lie in several pieces of one memory.
 */
export class TransferGroup {
  head: ChunkIo | null = null;
  file: ExtentFile | null = null;
  isDirect = false;
  /** First byte in the file, and bytes from there. */
  position = 0;
  bytes = 0;
  /** Contiguous pieces of memory. */
  pieces = 0;

  private tail: ChunkIo | null = null;
  private memoryEnd = 0;

  /** `piecesMax`: pieces of memory that one operation can have. */
  constructor(private readonly piecesMax: number) {}

  /** Begins a group; the one before was cleared. */
  begin(io: ChunkIo, file: ExtentFile, isDirect: boolean, position: number): void {
    assert(this.head === null, 'a group is begun when the last one was cleared');
    io.next = null;
    this.head = io;
    this.tail = io;
    this.file = file;
    this.isDirect = isDirect;
    this.position = position;
    this.bytes = io.length;
    this.pieces = 1;
    this.memoryEnd = io.memoryOffset + io.length;
  }

  /** Joins a transfer that continues the group. False: it does not, or not within the limits. */
  join(io: ChunkIo, file: ExtentFile, isDirect: boolean, position: number): boolean {
    const { head } = this;
    if (head === null || file !== this.file) return false;
    if (position !== this.position + this.bytes) return false;
    if (io.operation !== head.operation || isDirect !== this.isDirect) return false;
    if (io.memory !== head.memory || this.bytes + io.length > MERGED_BYTES_MAX) return false;
    if (io.memoryOffset !== this.memoryEnd) {
      if (this.pieces >= this.piecesMax || io.memory.address === 0) return false;
      this.pieces++;
    }
    io.next = null;
    this.tail!.next = io;
    this.tail = io;
    this.bytes += io.length;
    this.memoryEnd = io.memoryOffset + io.length;
    return true;
  }

  clear(): void {
    this.head = null;
    this.tail = null;
    this.file = null;
  }
}
