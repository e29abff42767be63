/** One queue of a guest's disk: its ring mapped, its event channel bound, and who serves it. */
import type { GrantMapping } from '../../../native-bindings/gntdev';
import { sentenceOf, TapdiskError } from '../../errors';
import {
  ABI_NATIVE,
  ABI_X86_32,
  type BackRing,
  INDIRECT_SEGMENTS_MAX,
  JournaledBackRing,
  PAGE_BYTES,
  RingJournal,
  ringEntries,
} from '../../ring';
import type { BlockDevice } from '../../vbd/block-device';
import type { RingDevice } from '../ring-device';
import { RingServer, type RingServerOptions } from '../ring-server';
import type { JournalFile } from './journal-file';
import { PERSISTENT_GRANTS_MAX } from './limits';
import { PersistentPages } from './persistent-pages';
import type { XenQueueAddress, XenRingsAddress } from './rings';
import { StagedBlockDevice } from './staged-block-device';
import type { XenSystem } from './xen-system';

const ABIS = { x86_64: ABI_NATIVE, x86_32: ABI_X86_32 } as const;

/** Entries of each of the rings at that address. */
export function entriesAt({ abi, ringOrder }: XenRingsAddress): number {
  return ringEntries(ABIS[abi], 2 ** ringOrder);
}

/** A ring's pages and its port, held until `release`. */
export class XenQueue {
  readonly port: number;
  private readonly mapping: GrantMapping;
  private pages: PersistentPages | null = null;

  /**
   * Maps and binds; the ring itself is not looked at.
   *
   * @throws TapdiskError XEN_RING_UNMAPPED, XEN_EVENT_CHANNEL_UNBOUND
   */
  constructor(
    private readonly system: XenSystem,
    private readonly address: XenRingsAddress,
    private readonly index: number,
  ) {
    const { domid } = address;
    const { ringRefs, eventChannel } = this.queue;
    try {
      this.mapping = system.grants.map(domid, ringRefs);
    } catch (error) {
      throw new TapdiskError(
        'XEN_RING_UNMAPPED',
        `The ring of domain ${domid} cannot be mapped (${sentenceOf(error)}): it says that it ` +
          `granted its pages as ${ringRefs.join(', ')}; look at the guest, and attach the disk afresh.`,
        { cause: error, transient: true },
      );
    }
    try {
      this.port = system.events.bindInterdomain(domid, eventChannel);
    } catch (error) {
      this.mapping.unmap();
      throw new TapdiskError(
        'XEN_EVENT_CHANNEL_UNBOUND',
        `The event channel ${eventChannel} of domain ${domid} cannot be bound ` +
          `(${sentenceOf(error)}): does another process serve this disk? Stop that one first, ` +
          'or attach the disk afresh.',
        { cause: error, transient: true },
      );
    }
  }

  /**
   * Makes the ring's server, which has looked at nothing yet but where the ring stands.
   *
   * @throws RingStopped of JournaledBackRing.takenOver
   */
  prepare(file: JournalFile, blockDevice: BlockDevice, options: RingServerOptions): RingServer {
    const { system } = this;
    const { domid, persistent } = this.address;
    const { counters } = options;
    const pagesMax = persistent ? PERSISTENT_GRANTS_MAX : 0;
    this.pages = new PersistentPages(system.grants, domid, pagesMax, counters);
    const staged = new StagedBlockDevice(blockDevice, system, domid, this.pages, counters);
    const device: RingDevice = {
      ring: this.ring(file),
      mapper: staged,
      idSlots: 0,
      indirectSegmentsMax: INDIRECT_SEGMENTS_MAX,
      barrier: true,
      flush: true,
      discard: true,
      poll: noPoll,
      kick: () => this.kick(),
    };
    return new RingServer(device, staged, options);
  }

  kick(): void {
    this.system.events.notify(this.port);
  }

  /** Nothing may be in flight. */
  release(): void {
    this.pages?.unmap();
    this.system.events.unbind(this.port);
    this.mapping.unmap();
  }

  private get queue(): XenQueueAddress {
    return this.address.queues[this.index];
  }

  private ring(file: JournalFile): BackRing {
    const { abi, ringOrder, takenOver } = this.address;
    const pages = 2 ** ringOrder;
    const bytes = this.mapping.bytes.subarray(0, pages * PAGE_BYTES);
    const journal = new RingJournal(file.ofQueue(this.index), entriesAt(this.address));
    if (!takenOver) return JournaledBackRing.fresh(bytes, ABIS[abi], pages, journal);
    return JournaledBackRing.takenOver(bytes, ABIS[abi], pages, journal, file.isFound);
  }
}

/** Shared memory needs no asking: what was pushed is on the ring. */
function noPoll(): void {
  return;
}
