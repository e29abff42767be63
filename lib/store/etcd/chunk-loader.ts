/** Fetches chunks that are read or changed and not known, many with one transaction. */
import { sentenceOf, TapdiskError } from '../../errors';
import type { KeyValue, RangeReply } from '../../etcd/etcd';
import { ETCD_ATTEMPT_TIMEOUT_MS, ETCD_READS_IN_FLIGHT_MAX } from '../limits';
import type { CachedChunk } from './cached-chunk';
import type { ChunkCache } from './chunk-cache';
import { faultOf } from './chunk-value';
import type { StoreContext } from './store-context';

export class ChunkLoader {
  private waiting: CachedChunk[] = [];
  private inFlight = 0;

  constructor(
    private readonly context: StoreContext,
    private readonly cache: ChunkCache,
    /** The chunks of a batch are loaded, or could not be (errno). */
    private readonly loaded: (chunks: readonly CachedChunk[], errno: number) => void,
    private readonly errnoOfRefusal: (error: unknown) => number,
  ) {}

  /** To be loaded at the next `pump`. */
  add(chunk: CachedChunk): void {
    chunk.isLoading = true;
    this.waiting.push(chunk);
  }

  pump(): void {
    while (this.waiting.length > 0 && this.inFlight < ETCD_READS_IN_FLIGHT_MAX) {
      const batch = this.waiting.splice(0, this.context.chunksMax);
      this.inFlight++;
      void this.load(batch).then((errno) => {
        this.inFlight--;
        for (const chunk of batch) chunk.isLoading = false;
        this.loaded(batch, errno);
      });
    }
  }

  /** Makes a chunk what etcd has at its key. */
  take(chunk: CachedChunk, keyValue: KeyValue | undefined): void {
    chunk.isLoaded = true;
    chunk.isDamaged = false;
    if (keyValue === undefined) return this.cache.set(chunk, null, 0);
    const place = { layer: chunk.layer, chunk: chunk.chunk, chunkBytes: this.context.chunkBytes };
    const fault = faultOf(keyValue.value, place, this.context.hash);
    const value = fault === null ? ownBytes(keyValue.value) : null;
    this.cache.set(chunk, value, keyValue.modRevision);
    if (fault === null) return;
    chunk.isDamaged = true;
    this.context.report(
      new TapdiskError(
        'CHUNK_DAMAGED',
        `${chunk.key} in etcd is damaged (${fault}), so what it holds cannot be read; restore it from a backup`,
      ),
    );
  }

  private async load(batch: readonly CachedChunk[]): Promise<number> {
    const { context } = this;
    try {
      const ranges = await context.answer(() => this.ask(batch));
      if (ranges === null) return this.errnoOfRefusal(null);
      for (const [i, chunk] of batch.entries()) this.take(chunk, ranges[i].keyValues[0]);
      return 0;
    } catch (error) {
      context.report(
        new TapdiskError('CHUNK_READ_REFUSED', `etcd refuses to be read: ${sentenceOf(error)}`, {
          cause: error,
        }),
      );
      return this.errnoOfRefusal(error);
    }
  }

  /** One reply a chunk. A transaction of one range takes etcd longer than the range alone. */
  private async ask(batch: readonly CachedChunk[]): Promise<readonly RangeReply[]> {
    const { etcd } = this.context;
    const setting = { deadlineMs: ETCD_ATTEMPT_TIMEOUT_MS };
    if (batch.length === 1) return [await etcd.range({ key: batch[0].key }, setting)];
    const success = batch.map(({ key }) => ({ range: { key } }));
    return (await etcd.transaction({ compare: [], success }, setting)).ranges;
  }
}

/** A value that is a small part of a large reply would keep all of it in memory. */
function ownBytes(value: Buffer): Buffer {
  return value.buffer.byteLength > 2 * value.length ? Buffer.from(value) : value;
}
