/** A chunk store that keeps nothing and moves nothing: what the path above it costs, and no more. */
import type { ChunkIo } from './chunk-io';
import type { ChunkStore, ErrnoCallback } from './chunk-store';
import { IoQueue } from './io-queue';

/** For measurement only: writes are dropped, and reads leave the memory as it was. */
export class NullStore implements ChunkStore {
  readonly kind = 'null';
  onBatchEnd: () => void = () => {};
  private readonly queued = new IoQueue();

  constructor(readonly chunkBytes: number) {}

  submit(io: ChunkIo): void {
    this.queued.push(io);
  }

  kick(): void {
    if (this.queued.isEmpty) return;
    for (let io = this.queued.shift(); io !== null; io = this.queued.shift()) {
      io.errno = 0;
      io.owner.chunkIoDone(io);
    }
    this.onBatchEnd();
  }

  sync(done: ErrnoCallback): void {
    this.later(done);
  }

  punch(
    _layer: number,
    _chunk: number,
    _offset: number,
    _length: number,
    done: ErrnoCallback,
  ): void {
    this.later(done);
  }

  async settleLayer(_layer: number): Promise<void> {}

  async deleteLayer(_layer: number): Promise<void> {}

  async usedBytes(_layer: number): Promise<number> {
    return 0;
  }

  describe(): Readonly<Record<string, unknown>> {
    return { kind: this.kind };
  }

  async close(): Promise<void> {}

  private later(done: ErrnoCallback): void {
    setImmediate(() => {
      done(0);
      this.onBatchEnd();
    });
  }
}
