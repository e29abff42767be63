/** Brings a chunk of an older layer into the current one, with a guest's write laid over it. */
import type { MemoryArea } from '../store/memory-area';
import { CHUNK_READ, CHUNK_WRITE, ChunkIo, type ChunkIoOwner } from '../store/chunk-io';
import type { ChunkStore, ErrnoCallback } from '../store/chunk-store';
import { COPIES_IN_FLIGHT_MAX } from './limits';

/** One copy: reads the old chunk, lays the write over it, writes the new chunk. */
class Copy implements ChunkIoOwner {
  readonly io = new ChunkIo();

  constructor(
    private readonly store: ChunkStore,
    private readonly write: ChunkIo,
    private readonly newLayer: number,
    private readonly done: ErrnoCallback,
    memory: MemoryArea,
  ) {
    const { io } = this;
    io.owner = this;
    io.chunk = write.chunk;
    io.offset = 0;
    io.length = store.chunkBytes;
    io.memory = memory;
    io.memoryOffset = 0;
  }

  start(oldLayer: number): void {
    this.io.operation = CHUNK_READ;
    this.io.layer = oldLayer;
    this.store.submit(this.io);
  }

  chunkIoDone(io: ChunkIo): void {
    if (io.errno !== 0 || io.operation === CHUNK_WRITE) return this.done(io.errno);
    const { write } = this;
    const { bytes } = write.memory;
    bytes.copy(
      io.memory.bytes,
      write.offset,
      write.memoryOffset,
      write.memoryOffset + write.length,
    );
    io.operation = CHUNK_WRITE;
    io.layer = this.newLayer;
    this.store.submit(io);
    this.store.kick();
  }
}

/** At most COPIES_IN_FLIGHT_MAX at once, each with its own chunk-sized memory, kept for reuse. */
export class CopyUp {
  private readonly idle: MemoryArea[] = [];
  private inFlight = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly store: ChunkStore,
    private readonly allocate: (lengthBytes: number) => MemoryArea,
  ) {}

  /** Calls back when the new chunk is written (not yet synced, not yet in the map). */
  copy(write: ChunkIo, oldLayer: number, newLayer: number, done: ErrnoCallback): void {
    if (this.inFlight >= COPIES_IN_FLIGHT_MAX) {
      this.waiting.push(() => this.copy(write, oldLayer, newLayer, done));
      return;
    }
    this.inFlight++;
    const memory = this.idle.pop() ?? this.allocate(this.store.chunkBytes);
    const finished = (errno: number): void => {
      this.inFlight--;
      this.idle.push(memory);
      done(errno);
      this.waiting.shift()?.();
      this.store.kick();
    };
    new Copy(this.store, write, newLayer, finished, memory).start(oldLayer);
  }
}
