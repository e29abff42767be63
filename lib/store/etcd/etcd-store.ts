/**
 * The etcd store: each chunk is a key. For small volumes; docs/etcd-store.md says what it costs.
 *
 * A write is acknowledged when its transaction is committed by a quorum, which makes it survive a
 * power cut as well: `sync` has nothing to do. Every transaction compares the attach lock, so a
 * process that has lost the volume changes nothing, however late it comes.
 */
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import type { Compare, Range } from '../../etcd/etcd';
import { CHUNK_READ, type ChunkIo } from '../chunk-io';
import type { ChunkStore, ErrnoCallback } from '../chunk-store';
import { IoQueue } from '../io-queue';
import {
  ETCD_ADMIN_ATTEMPTS_MAX,
  ETCD_ATTEMPT_TIMEOUT_MS,
  ETCD_CACHE_BYTES,
  ETCD_DELETE_STEP_CHUNKS,
} from '../limits';
import { type CachedChunk, endChange, endTransfer } from './cached-chunk';
import { ChunkCache } from './chunk-cache';
import { layerRange } from './chunk-keys';
import { ChunkLoader } from './chunk-loader';
import { type Hash64, loadHash64 } from './chunk-value';
import { ChunkWriter } from './chunk-writer';
import { type EtcdStoreOptions, StoreContext } from './store-context';

export type { EtcdStoreOptions } from './store-context';

const EIO = 5;
const ENOSPC = 28;

export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  return new EtcdStore(options, await loadHash64());
}

export class EtcdStore implements ChunkStore {
  readonly kind = 'etcd';
  readonly chunkBytes: number;
  onBatchEnd: () => void = () => {};

  private readonly context: StoreContext;
  private readonly cache: ChunkCache;
  private readonly loader: ChunkLoader;
  private readonly writer: ChunkWriter;
  private readonly queued = new IoQueue();
  /** Transfers and punches taken and not ended. */
  private readonly busy = new Set<CachedChunk>();
  private readonly endListening: () => void;
  private hits = 0;
  private misses = 0;

  constructor(options: EtcdStoreOptions, hash: Hash64) {
    this.chunkBytes = options.chunkBytes;
    this.context = new StoreContext(options, hash);
    this.cache = new ChunkCache(options.cacheBytes ?? ETCD_CACHE_BYTES);
    this.loader = new ChunkLoader(
      this.context,
      this.cache,
      (chunks, errno) => this.loaded(chunks, errno),
      errnoOfRefusal,
    );
    this.writer = new ChunkWriter(
      this.context,
      this.cache,
      this.loader,
      (chunks) => this.goOn(chunks),
      errnoOfRefusal,
    );
    this.endListening = this.context.onLost(() => this.lost());
  }

  submit(io: ChunkIo): void {
    assert(io.offset + io.length <= this.chunkBytes, 'a transfer stays within its chunk');
    this.queued.push(io);
  }

  kick(): void {
    let anyEnded = false;
    for (let io = this.queued.shift(); io !== null; io = this.queued.shift()) {
      const chunk = this.cache.use(io.layer, io.chunk);
      if (io.operation !== CHUNK_READ) {
        chunk.changes.push({ offset: io.offset, length: io.length, io, done: null });
        this.route(chunk);
      } else if (chunk.isLoaded) {
        this.hits++;
        this.endRead(chunk, io);
        anyEnded = true;
      } else {
        this.misses++;
        chunk.reads.push(io);
        this.route(chunk);
      }
    }
    if (this.pump()) anyEnded = true;
    if (anyEnded) this.onBatchEnd();
  }

  sync(done: ErrnoCallback): void {
    setImmediate(() => {
      done(0);
      this.onBatchEnd();
    });
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    const punched = this.cache.use(layer, chunk);
    punched.changes.push({ offset, length, io: null, done });
    // Never answered from inside, not even where there is nothing to do.
    this.busy.add(punched);
    setImmediate(() => this.goOn([punched]));
  }

  /** Nothing to do: what was acknowledged is durable. */
  async settleLayer(_layer: number): Promise<void> {}

  /** @throws TapdiskError of Etcd */
  async deleteLayer(layer: number): Promise<void> {
    const { context } = this;
    this.cache.forgetLayer(layer);
    const range = layerRange(layer);
    for (;;) {
      const { keyValues, more } = await this.range({
        ...range,
        keysOnly: true,
        limit: ETCD_DELETE_STEP_CHUNKS,
      });
      if (keyValues.length === 0) return;
      // Right behind the last one that was seen.
      const rangeEnd = `${keyValues[keyValues.length - 1].key}\0`;
      let guard: readonly Compare[] = [];
      const reply = await this.asked(() =>
        context.etcd.transaction(
          {
            compare: (guard = context.guard()),
            success: [{ delete: { key: range.key, rangeEnd } }],
          },
          { deadlineMs: ETCD_ATTEMPT_TIMEOUT_MS },
        ),
      );
      if (!reply.succeeded) {
        context.guardFailed(guard);
        throw lostWhileDeleting();
      }
      context.written(0, reply.revision);
      if (!more) return;
    }
  }

  /** Counted in whole chunks, though short ones take less. */
  async usedBytes(layer: number): Promise<number> {
    const { count } = await this.range({ ...layerRange(layer), countOnly: true });
    return count * this.chunkBytes;
  }

  describe(): Readonly<Record<string, unknown>> {
    return {
      kind: this.kind,
      cachedChunks: this.cache.chunks,
      cachedBytes: this.cache.bytes,
      cacheHits: this.hits,
      cacheMisses: this.misses,
    };
  }

  async close(): Promise<void> {
    assert(this.queued.isEmpty && this.busy.size === 0, 'a store is closed when idle');
    this.endListening();
  }

  /** Sends a chunk where what waits in it has to go next. */
  private route(chunk: CachedChunk): void {
    if (chunk.changes.length === 0 && chunk.reads.length === 0) {
      if (!chunk.isWriting && !chunk.isLoading) this.busy.delete(chunk);
      return;
    }
    this.busy.add(chunk);
    if (!chunk.isLoaded) {
      if (!chunk.isLoading && !chunk.isWriting) this.loader.add(chunk);
    } else if (chunk.changes.length > 0 && !chunk.isWriting) {
      this.writer.add(chunk);
    }
  }

  private goOn(chunks: readonly CachedChunk[]): void {
    for (const chunk of chunks) this.route(chunk);
    this.pump();
    this.cache.trim();
    this.onBatchEnd();
  }

  /** Begins what there is room for; true where some of it ended at once. */
  private pump(): boolean {
    this.loader.pump();
    const ended = this.writer.pump();
    for (const chunk of ended) this.route(chunk);
    return ended.length > 0;
  }

  private loaded(chunks: readonly CachedChunk[], errno: number): void {
    for (const chunk of chunks) {
      for (const io of chunk.reads.splice(0)) {
        if (errno === 0) this.endRead(chunk, io);
        else endTransfer(io, errno);
      }
      if (errno !== 0) for (const change of chunk.changes.splice(0)) endChange(change, errno);
      else if (chunk.isUncertain && chunk.changes.length === 0) chunk.isLoaded = false;
    }
    this.goOn(chunks);
  }

  private endRead(chunk: CachedChunk, io: ChunkIo): void {
    if (!chunk.isDamaged) chunk.copyTo(io);
    endTransfer(io, chunk.isDamaged ? EIO : 0);
  }

  /** Everything that waits fails; so does, by itself, what comes. */
  private lost(): void {
    this.writer.failAll(EIO);
    const chunks = [...this.busy];
    for (const chunk of chunks) {
      for (const io of chunk.reads.splice(0)) endTransfer(io, EIO);
      for (const change of chunk.changes.splice(0)) endChange(change, EIO);
    }
    this.goOn(chunks);
  }

  private range(range: Range): ReturnType<StoreContext['etcd']['range']> {
    return this.asked(() =>
      this.context.etcd.range(range, { deadlineMs: ETCD_ATTEMPT_TIMEOUT_MS }),
    );
  }

  /** For what a person waits for: some attempts, and then the reason. */
  private async asked<T>(attempt: () => Promise<T>): Promise<T> {
    for (let left = ETCD_ADMIN_ATTEMPTS_MAX; ; left--) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof TapdiskError) || !error.transient || left <= 1) throw error;
        await this.context.pause();
      }
    }
  }
}

function errnoOfRefusal(error: unknown): number {
  return error instanceof TapdiskError && error.code === 'ETCD_NO_SPACE' ? ENOSPC : EIO;
}

function lostWhileDeleting(): TapdiskError {
  return new TapdiskError(
    'VOLUME_LOST',
    'another process has taken the volume over, so this one may not delete its chunks',
  );
}
