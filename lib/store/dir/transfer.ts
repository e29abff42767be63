/** One operation of the engine's, and the transfers of the store that it carries. */
import type { ChunkIo } from '../chunk-io';
import type { ErrnoCallback } from '../chunk-store';
import { MERGED_BYTES_MAX } from '../limits';
import type { ExtentFile } from './extent-files';

/**
 * A slot of the engine's token space: what is in flight and how far it has come. It carries a sync
 * or punch (`callback`), or one transfer, or several linked by their `next`. Several are neighbours
 * in the file, may be of several chunks, since neighbouring chunks are neighbours in the file, and
 * lie in several pieces of one memory.
 */
export class Transfer {
  /** The first transfer. */
  io: ChunkIo | null = null;
  callback: ErrnoCallback | null = null;
  /** Begins the sync or punch. */
  start: ((token: number) => void) | null = null;
  file: ExtentFile | null = null;
  /** Of the current attempt: a direct transfer that is refused is tried once more, buffered. */
  isDirect = false;
  /** First byte in the file, and bytes from there. */
  position = 0;
  bytes = 0;
  /** Contiguous pieces of memory; 1 unless there are several transfers. */
  pieces = 1;
  doneBytes = 0;
  /** How often it was interrupted since it was given a token. */
  interruptions = 0;

  private last: ChunkIo | null = null;

  constructor(readonly token: number) {}

  begin(io: ChunkIo, file: ExtentFile, isDirect: boolean, position: number): void {
    io.next = null;
    this.io = io;
    this.last = io;
    this.file = file;
    this.isDirect = isDirect;
    this.position = position;
    this.bytes = io.length;
    this.pieces = 1;
    this.doneBytes = 0;
    this.interruptions = 0;
  }

  /**
   * Adds a transfer that goes on in the file where this ends. False: it does not go with these, or
   * not within the limits. `piecesMax`: pieces of memory that one operation can have.
   */
  join(io: ChunkIo, file: ExtentFile, isDirect: boolean, piecesMax: number): boolean {
    const last = this.last!;
    if (file !== this.file || isDirect !== this.isDirect) return false;
    if (io.operation !== last.operation || io.memory !== last.memory) return false;
    if (this.bytes + io.length > MERGED_BYTES_MAX) return false;
    if (io.memoryOffset !== last.memoryOffset + last.length) {
      if (this.pieces >= piecesMax || io.memory.address === 0) return false;
      this.pieces++;
    }
    io.next = null;
    last.next = io;
    this.last = io;
    this.bytes += io.length;
    return true;
  }

  clear(): void {
    this.io = null;
    this.last = null;
    this.file = null;
    this.callback = null;
    this.start = null;
  }
}
