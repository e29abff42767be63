/** What the rest of a tapdisk sees of a front end: where a VBD's requests come from. */
import type { TapdiskError } from '../errors';
import type { MemoryArea } from '../store/memory-area';
import type { RingCounters } from './ring-counters';

export interface FrontendEvents {
  /** The ring broke and was stopped: nothing is served until it is attached (shm: made) afresh. */
  onStopped(reason: TapdiskError): void;
  /** The other side asks to be closed (OpenXT's CLOSE): call `close`. Again after one that failed. */
  onCloseAsked(): void;
}

/** The character device of one of three kernel modules, the stand-in, or a guest's own rings. */
export type FrontendKind = 'blktap1' | 'blktap2-xenserver' | 'blktap2-openxt' | 'shm' | 'xen';

/** A disk's ring, or its rings, opened and mapped; serving from `start` to `close`. */
export interface Frontend {
  readonly kind: FrontendKind;
  /** Of the character device, `shm:` and the directory, or `xen:` and the back end's in xenstore. */
  readonly path: string;
  /**
   * Whether the ring carries flushes. Where it does not, its users take a completed write for a
   * durable one, and the VBD must write through.
   */
  readonly flushCapable: boolean;
  /**
   * Whether the other side, after `close`, waits for the next process that serves the same device,
   * and sends it what was not answered. Where it does not, it fails its users instead.
   */
  readonly survivesClose: boolean;
  /**
   * Memory of all its requests whose pages stay the same from `start` to the end of `close`, and
   * may be pinned; none where the kernel exchanges them.
   */
  readonly steadyMemory: readonly MemoryArea[];
  readonly counters: Readonly<RingCounters>;
  /** Why the ring was stopped; null while it is served. */
  readonly stopped: TapdiskError | null;
  /** Requests taken and not yet answered. */
  readonly inFlight: number;

  start(): void;
  /** Takes nothing more from the ring; what was taken is still answered. See `drained`. */
  pause(): void;
  resume(): void;
  /**
   * The disk has grown to so many sectors, and serves them already: tells the other side. Missing
   * where it can only be told when its device is made anew.
   */
  resized?(sectors: number): void;
  /** Resolves when nothing is in flight. Rejects with RING_DRAIN_TIMEOUT. */
  drained(timeoutMs?: number): Promise<void>;
  /**
   * Drains, unmaps and closes. Where it rejects (RING_DRAIN_TIMEOUT, BLKTAP_BUSY) the mapping
   * stays, since I/O may still run into it, and `close` may be called again. Afterwards nothing
   * may touch the memory of its requests.
   */
  close(): Promise<void>;
  /**
   * To be called after `close`, once the volume was given back: whoever took the disk away learns
   * that it is free. Missing where nobody waits for that.
   */
  afterRelease?(): Promise<void>;
}
