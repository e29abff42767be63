/** Chunks that this process knows, in the order of their use, bounded by bytes. */
import { CachedChunk } from './cached-chunk';
import { chunkKey } from './chunk-keys';

export class ChunkCache {
  private readonly layers = new Map<number, Map<number, CachedChunk>>();
  private oldest: CachedChunk | null = null;
  private newest: CachedChunk | null = null;
  private heldBytes = 0;
  private held = 0;

  constructor(private readonly bytesMax: number) {}

  get bytes(): number {
    return this.heldBytes;
  }

  get chunks(): number {
    return this.held;
  }

  /** The chunk, the most recently used one from now on; an unknown one is made. */
  use(layer: number, index: number): CachedChunk {
    let chunks = this.layers.get(layer);
    if (chunks === undefined) this.layers.set(layer, (chunks = new Map<number, CachedChunk>()));
    let chunk = chunks.get(index);
    if (chunk === undefined) {
      chunk = new CachedChunk(layer, index, chunkKey(layer, index));
      chunks.set(index, chunk);
      this.held++;
      this.heldBytes += chunk.bytes;
    } else if (chunk === this.newest) {
      return chunk;
    } else {
      this.unlink(chunk);
    }
    chunk.older = this.newest;
    if (this.newest !== null) this.newest.newer = chunk;
    this.newest = chunk;
    this.oldest ??= chunk;
    return chunk;
  }

  /** Gives a chunk the value that it has in etcd now. */
  set(chunk: CachedChunk, value: Buffer | null, modRevision: number): void {
    this.heldBytes -= chunk.bytes;
    chunk.value = value;
    chunk.modRevision = modRevision;
    this.heldBytes += chunk.bytes;
  }

  /** Forgets what was used longest ago, but for what is in use, until the rest has room. */
  trim(): void {
    for (let chunk = this.oldest; chunk !== null && this.heldBytes > this.bytesMax;) {
      const { newer } = chunk;
      if (!chunk.isBusy) this.forget(chunk);
      chunk = newer;
    }
  }

  /** Forgets a chunk that nobody waits for. */
  forget(chunk: CachedChunk): void {
    this.unlink(chunk);
    this.held--;
    this.heldBytes -= chunk.bytes;
    const chunks = this.layers.get(chunk.layer);
    chunks?.delete(chunk.chunk);
    if (chunks?.size === 0) this.layers.delete(chunk.layer);
  }

  forgetLayer(layer: number): void {
    const chunks = this.layers.get(layer);
    if (chunks === undefined) return;
    for (const chunk of [...chunks.values()]) this.forget(chunk);
  }

  private unlink(chunk: CachedChunk): void {
    const { older, newer } = chunk;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    if (newer === null) this.newest = older;
    else newer.older = older;
    chunk.older = null;
    chunk.newer = null;
  }
}
