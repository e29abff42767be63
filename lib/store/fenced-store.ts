/** A filter around any chunk store: hands nothing over while the right to the volume is in doubt. */
import { TapdiskError } from '../errors';
import { type Fence, FENCE_LOST, FENCE_OPEN, type FenceState } from '../fence';
import type { ChunkIo } from './chunk-io';
import type { ChunkStore, ErrnoCallback, StoreEngine } from './chunk-store';
import { IoQueue } from './io-queue';
import { FENCE_WAIT_MS } from './limits';

const EIO = 5;

/** A sync or punch that waits for the fence. */
interface Control {
  readonly start: () => void;
  readonly done: ErrnoCallback;
}

/**
 * The fence is asked once a batch, in `kick`, right before the batch is handed over: here, or by the
 * inner store where it can (`fenceBy`), which is closer to the kernel, and then nothing is queued
 * here. While it waits so does everything, in its order; when the volume is lost everything ends with
 * EIO. What the inner store had taken by then ends as it ends, and is told: whoever acknowledges asks
 * the fence again.
 */
export class FencedStore implements ChunkStore {
  readonly kind: string;
  readonly chunkBytes: number;
  readonly engine?: StoreEngine;
  onBatchEnd: () => void = () => {};

  /** The inner store asks the fence. */
  private readonly isFencedWithin: boolean;
  private readonly queued = new IoQueue();
  private controls: Control[] = [];
  private readonly whenDecided = new Set<() => void>();
  private readonly endListening: () => void;

  constructor(
    private readonly inner: ChunkStore,
    private readonly fence: Fence,
  ) {
    this.kind = inner.kind;
    this.chunkBytes = inner.chunkBytes;
    if (inner.engine !== undefined) this.engine = inner.engine;
    inner.onBatchEnd = () => this.onBatchEnd();
    this.isFencedWithin = inner.fenceBy !== undefined;
    inner.fenceBy?.(fence);
    this.endListening = fence.onChange(() => this.changed());
  }

  submit(io: ChunkIo): void {
    if (this.isFencedWithin) this.inner.submit(io);
    else this.queued.push(io);
  }

  kick(): void {
    if (this.queued.isEmpty && this.controls.length === 0) return this.inner.kick();
    const state = this.fence.state();
    if (state === FENCE_OPEN) this.handOver();
    else if (state === FENCE_LOST) this.failAll();
  }

  sync(done: ErrnoCallback): void {
    this.control(() => this.inner.sync(done), done);
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    this.control(() => this.inner.punch(layer, chunk, offset, length, done), done);
  }

  /** @throws TapdiskError VOLUME_LOST, VOLUME_STALLED, and those of the store */
  async settleLayer(layer: number): Promise<void> {
    await this.opened();
    await this.inner.settleLayer(layer);
  }

  /** @throws TapdiskError VOLUME_LOST, VOLUME_STALLED, and those of the store */
  async deleteLayer(layer: number): Promise<void> {
    await this.opened();
    await this.inner.deleteLayer(layer);
  }

  usedBytes(layer: number): Promise<number> {
    return this.inner.usedBytes(layer);
  }

  describe(): Readonly<Record<string, unknown>> {
    return this.inner.describe();
  }

  async close(): Promise<void> {
    this.endListening();
    await this.inner.close();
  }

  private handOver(): void {
    const { inner, queued } = this;
    if (this.controls.length > 0) {
      const controls = this.controls;
      this.controls = [];
      for (const { start } of controls) start();
    }
    for (let io = queued.shift(); io !== null; io = queued.shift()) inner.submit(io);
    inner.kick();
  }

  private control(start: () => void, done: ErrnoCallback): void {
    if (this.isFencedWithin) return start();
    const state = this.fence.state();
    if (state === FENCE_OPEN) return start();
    this.controls.push({ start, done });
    // Never from inside: whoever asks counts on hearing of it later.
    if (state === FENCE_LOST) setImmediate(() => this.kick());
  }

  /** Also where nothing of ours waits: the inner store may have a retry that does. */
  private changed(): void {
    for (const decided of [...this.whenDecided]) decided();
    this.kick();
    this.inner.kick();
  }

  private failAll(): void {
    const controls = this.controls;
    this.controls = [];
    for (const { done } of controls) done(EIO);
    for (let io = this.queued.shift(); io !== null; io = this.queued.shift()) {
      io.errno = EIO;
      io.owner.chunkIoDone(io);
    }
    this.onBatchEnd();
  }

  private async opened(): Promise<void> {
    let state: FenceState = this.fence.state();
    if (state !== FENCE_OPEN && state !== FENCE_LOST) {
      await this.decision();
      state = this.fence.state();
    }
    if (state === FENCE_OPEN) return;
    if (state === FENCE_LOST) {
      throw new TapdiskError(
        'VOLUME_LOST',
        'another process has taken the volume over, so this one may not change it; attach it again if it should be here',
      );
    }
    throw new TapdiskError(
      'VOLUME_STALLED',
      `the right to the volume could not be confirmed within ${FENCE_WAIT_MS / 1000} s; see that the cluster is reached, then try again`,
      { transient: true },
    );
  }

  /** Resolves when the fence says something new, at the latest after FENCE_WAIT_MS. */
  private async decision(): Promise<void> {
    await new Promise<void>((resolve) => {
      const decided = (): void => {
        clearTimeout(timer);
        this.whenDecided.delete(decided);
        resolve();
      };
      const timer = setTimeout(decided, FENCE_WAIT_MS);
      this.whenDecided.add(decided);
    });
  }
}
