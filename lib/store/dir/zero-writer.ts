/** Writes zeros over a range of a chunk, where the file system cannot punch holes. */
import { CHUNK_WRITE, ChunkIo, type ChunkIoOwner } from '../chunk-io';
import type { ErrnoCallback } from '../chunk-store';
import { ZERO_PIECE_BYTES } from '../limits';
import { heapArea } from '../memory-area';

/** One piece after the other, as transfers like any other: with their retries and their limits. */
export class ZeroWriter implements ChunkIoOwner {
  private readonly io = new ChunkIo();

  constructor(
    private readonly submit: (io: ChunkIo) => void,
    layer: number,
    chunk: number,
    offset: number,
    private readonly end: number,
    private readonly done: ErrnoCallback,
  ) {
    const { io } = this;
    io.operation = CHUNK_WRITE;
    io.owner = this;
    io.layer = layer;
    io.chunk = chunk;
    io.offset = offset;
    io.length = Math.min(end - offset, ZERO_PIECE_BYTES);
    io.memory = heapArea(io.length);
  }

  /** Submits the first piece. The range is not empty. */
  start(): void {
    this.submit(this.io);
  }

  chunkIoDone(io: ChunkIo): void {
    io.offset += io.length;
    if (io.errno !== 0 || io.offset >= this.end) return this.done(io.errno);
    io.length = Math.min(this.end - io.offset, io.memory.bytes.length);
    this.submit(io);
  }
}
