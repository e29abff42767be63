/** Fetches chunks that are read or changed and not known, many with one transaction. */
import { sentenceOf, TapdiskError } from '../../errors';
import type { KeyValue } from '../../etcd/etcd';
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
    // A copy: the value may be a small part of a large reply, which it would keep.
    const value = fault === null ? Buffer.from(keyValue.value) : null;
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
    const success = batch.map(({ key }) => ({ range: { key } }));
    try {
      const reply = await context.answer(() =>
        context.etcd.transaction({ compare: [], success }, { deadlineMs: ETCD_ATTEMPT_TIMEOUT_MS }),
      );
      if (reply === null) return this.errnoOfRefusal(null);
      for (const [i, chunk] of batch.entries()) this.take(chunk, reply.ranges[i].keyValues[0]);
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
}
