/** What every chunk store does; the kinds (dir, null, memory, later etcd and rados) implement it. */
import type { Watch, WatchOptions } from '../../native-bindings/watch';
import type { Fence } from '../fence';
import type { ChunkIo } from './chunk-io';
import type { MemoryArea } from './memory-area';

/** Called once; errno is 0 or a positive errno. */
export type ErrnoCallback = (errno: number) => void;

/** What a store's I/O engine can do for whoever asks for the transfers. */
export interface StoreEngine {
  /**
   * Lets the engine pin memory that many transfers will use. Only for memory whose pages stay the
   * same until `unregisterMemory`; where it cannot be pinned, nothing changes.
   */
  registerMemory(area: MemoryArea): void;
  unregisterMemory(area: MemoryArea): void;
  /** Watches a doorbell where completions are waited for, so that one wait serves both. */
  watchReadable(fd: number, onReadable: () => void, options?: WatchOptions): Watch;
}

/**
 * Chunks named by (layer, index). A chunk that was never written, or was punched, reads as zeros.
 *
 * Transfers are queued by `submit` and handed over by `kick`, once a batch. Completions come from
 * `kick` or later, never from inside `submit`. Nothing here is asynchronous by Promise.
 */
export interface ChunkStore {
  readonly kind: string;
  readonly chunkBytes: number;
  /** Only where an I/O engine moves the bytes. */
  readonly engine?: StoreEngine;

  /** Called after each batch of completions and callbacks; set by the one user of the store. */
  onBatchEnd: () => void;

  /** Queues one transfer. Whoever submits keeps the memory valid until it is done. */
  submit(io: ChunkIo): void;

  /** Hands every queued transfer over. */
  kick(): void;

  /**
   * From now on the store itself asks the fence, right before anything goes to whoever carries it
   * out: once for all of a `kick`, and again for what begins by itself, as a retry does, the rest of a
   * short transfer, and what waited for its turn. While the fence waits so does all of that, until a
   * `kick` after it has opened; when it is lost all of it ends with EIO. Called before the first
   * transfer; missing where somebody else has to ask (FencedStore).
   */
  fenceBy?(fence: Fence): void;

  /**
   * Calls back when everything that was done before this call survives a power cut. May be called
   * again before it has; each call speaks for itself.
   */
  sync(done: ErrnoCallback): void;

  /** Makes a range of a chunk read as zeros and gives its space back. */
  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void;

  /**
   * Makes what a process before this one did in a layer survive a power cut: `sync` covers only
   * what this process did. For a layer that was not given back properly, before its first use.
   *
   * @throws TapdiskError LAYER_NOT_SETTLED
   */
  settleLayer(layer: number): Promise<void>;

  /** Deletes every chunk of a layer. The layer is in use by nobody. */
  deleteLayer(layer: number): Promise<void>;

  /** Bytes that a layer takes on the store. */
  usedBytes(layer: number): Promise<number>;

  /** For statistics: what is in use, as plain JSON. */
  describe(): Readonly<Record<string, unknown>>;

  /** Ends the store; no transfer may be in flight. */
  close(): Promise<void>;
}
