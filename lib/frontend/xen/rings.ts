/** What the handshake over xenstore needs of the rings in a guest's memory. */
import type { WatchReadable } from '../../../native-bindings/watch';
import type { TapdiskError } from '../../errors';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import type { FrontendEvents } from '../frontend';
import type { RingCounters } from '../ring-counters';
import type { XenSystem } from './xen-system';

/** Where a guest's rings are, as it says in xenstore; every number within what was offered. */
export interface XenRingsAddress {
  readonly domid: number;
  /** The guest's `protocol`; 'x86_64' is also ours. */
  readonly abi: 'x86_64' | 'x86_32';
  /** 2^ringOrder pages a queue. */
  readonly ringOrder: number;
  readonly queues: readonly XenQueueAddress[];
  /** Both sides said feature-persistent, and pages may stay mapped. */
  readonly persistent: boolean;
  /**
   * Whether these rings may have been served before: true where our state in xenstore was
   * Connected already when this process came. Then what the journal says was taken and not answered
   * is done again. False: the rings are fresh, and a journal that is there is of earlier ones.
   */
  readonly takenOver: boolean;
  /** Where the journal is kept: private to this user, and gone after a boot (tmpfs). */
  readonly journalDirectory: string;
  /** A file name that is this VBD's alone, for example "vbd-5-51712". */
  readonly journalKey: string;
}

export interface XenQueueAddress {
  /** 2^ringOrder grant references. */
  readonly ringRefs: readonly number[];
  /** The guest's own port. */
  readonly eventChannel: number;
}

/** A guest's rings, mapped and bound; served from `start` to `close`. */
export interface XenRings {
  readonly counters: Readonly<RingCounters>;
  /** Why they were stopped; null while they are served. */
  readonly stopped: TapdiskError | null;
  /** Requests taken and not yet answered. */
  readonly inFlight: number;
  /** The system's; stays the same for as long as that is open. */
  readonly steadyMemory: readonly MemoryArea[];

  /** Begins with what the journal holds, looks at each ring, and kicks the guest. */
  start(): void;
  /** Takes nothing more; what was taken is still answered. */
  pause(): void;
  resume(): void;
  /** Resolves when nothing is in flight. Rejects with RING_DRAIN_TIMEOUT. */
  drained(timeoutMs?: number): Promise<void>;
  /** Drains, unmaps and unbinds. Where it rejects (RING_DRAIN_TIMEOUT) it may be called again. */
  close(): Promise<void>;
  /** Removes the journal: the front end has left these rings for good. */
  forget(): void;
}

/**
 * Maps and binds the rings; nothing is taken before `start`. `watch` is what events are heard with.
 *
 * @throws TapdiskError XEN_RING_UNMAPPED, XEN_EVENT_CHANNEL_UNBOUND, and those of the journal
 */
export type OpenXenRings = (
  address: XenRingsAddress,
  blockDevice: BlockDevice,
  events: Pick<FrontendEvents, 'onStopped'>,
  system: XenSystem,
  watch?: WatchReadable,
) => XenRings;
