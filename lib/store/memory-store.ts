/** A chunk store in this process's memory: for tests, and as the simplest example of a store. */
import { CHUNK_READ, type ChunkIo } from './chunk-io';
import type { ChunkStore, ErrnoCallback } from './chunk-store';
import { IoQueue } from './io-queue';

/** Nothing survives the process: a sync says so by surviving nothing, and is for tests only. */
export class MemoryStore implements ChunkStore {
  readonly kind = 'memory';
  onBatchEnd: () => void = () => {};
  private readonly layers = new Map<number, Map<number, Buffer>>();
  private readonly queued = new IoQueue();

  constructor(readonly chunkBytes: number) {}

  submit(io: ChunkIo): void {
    this.queued.push(io);
  }

  kick(): void {
    if (this.queued.isEmpty) return;
    setImmediate(() => {
      for (let io = this.queued.shift(); io !== null; io = this.queued.shift()) this.move(io);
      this.onBatchEnd();
    });
  }

  sync(done: ErrnoCallback): void {
    this.later(() => done(0));
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    this.later(() => {
      const chunks = this.layers.get(layer);
      if (length === this.chunkBytes) chunks?.delete(chunk);
      else chunks?.get(chunk)?.fill(0, offset, offset + length);
      done(0);
    });
  }

  async settleLayer(_layer: number): Promise<void> {}

  async deleteLayer(layer: number): Promise<void> {
    this.layers.delete(layer);
  }

  async usedBytes(layer: number): Promise<number> {
    return (this.layers.get(layer)?.size ?? 0) * this.chunkBytes;
  }

  describe(): Readonly<Record<string, unknown>> {
    return { kind: this.kind };
  }

  async close(): Promise<void> {
    this.layers.clear();
  }

  private later(action: () => void): void {
    setImmediate(() => {
      action();
      this.onBatchEnd();
    });
  }

  private move(io: ChunkIo): void {
    const { bytes } = io.memory;
    const end = io.memoryOffset + io.length;
    if (io.operation === CHUNK_READ) {
      const chunk = this.layers.get(io.layer)?.get(io.chunk);
      if (chunk === undefined) bytes.fill(0, io.memoryOffset, end);
      else chunk.copy(bytes, io.memoryOffset, io.offset, io.offset + io.length);
    } else {
      bytes.copy(this.chunkToWrite(io), io.offset, io.memoryOffset, end);
    }
    io.errno = 0;
    io.owner.chunkIoDone(io);
  }

  private chunkToWrite(io: ChunkIo): Buffer {
    let chunks = this.layers.get(io.layer);
    if (chunks === undefined) {
      chunks = new Map<number, Buffer>();
      this.layers.set(io.layer, chunks);
    }
    let chunk = chunks.get(io.chunk);
    if (chunk === undefined) chunks.set(io.chunk, (chunk = Buffer.alloc(this.chunkBytes)));
    return chunk;
  }
}
