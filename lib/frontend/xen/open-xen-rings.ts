/** Serves a VBD to the rings in a guest's memory: grants, event channels, and a journal. */
import { type Watch, type WatchReadable, watchReadable } from '../../../native-bindings/readiness';
import { assert } from '../../assert';
import { sentenceOf, TapdiskError } from '../../errors';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import { askedSpinUs } from '../awake-look';
import type { FrontendEvents } from '../frontend';
import { DRAIN_TIMEOUT_MS, XEN_QUEUES_MAX } from '../limits';
import { newRingCounters } from '../ring-counters';
import type { RingServer } from '../ring-server';
import { JournalFile, removeJournal } from './journal-file';
import type { OpenXenRings, XenRings, XenRingsAddress } from './rings';
import { entriesAt, XenQueue } from './xen-queue';
import type { XenSystem } from './xen-system';

export const openXenRings: OpenXenRings = (
  address,
  blockDevice,
  events,
  system,
  watch = watchReadable,
) => new OpenedRings(address, blockDevice, events, system, watch);

class OpenedRings implements XenRings {
  readonly counters = newRingCounters();
  stopped: TapdiskError | null = null;

  private readonly queues: XenQueue[] = [];
  private readonly servers: RingServer[] = [];
  private readonly journal: JournalFile;
  private eventsWatch: Watch | null = null;
  private isReleased = false;

  constructor(
    private readonly address: XenRingsAddress,
    blockDevice: BlockDevice,
    private readonly listener: Pick<FrontendEvents, 'onStopped'>,
    private readonly system: XenSystem,
    private readonly watch: WatchReadable,
  ) {
    checkAddress(address);
    let journal: JournalFile | null = null;
    try {
      // All ports first: whoever has them is alone, and only then are the journal and rings touched.
      for (const index of address.queues.keys()) {
        this.queues.push(new XenQueue(system, address, index));
      }
      const open = address.takenOver ? JournalFile.find : JournalFile.create;
      journal = open(address, address, entriesAt(address));
      this.prepare(journal, blockDevice);
      this.journal = journal;
    } catch (error) {
      journal?.close();
      for (const queue of this.queues) queue.release();
      throw error;
    }
  }

  get inFlight(): number {
    return this.servers.reduce((sum, server) => sum + server.inFlight, 0);
  }

  get steadyMemory(): readonly MemoryArea[] {
    return this.system.staging.steadyMemory;
  }

  start(): void {
    this.eventsWatch = this.watch(this.system.events.fd, () => this.heard());
    for (const server of this.servers) server.pollOnce();
    // What a predecessor published may not have been told, nor what it was told have been looked at.
    for (const queue of this.queues) this.kick(queue);
  }

  pause(): void {
    for (const server of this.servers) server.pause();
  }

  resume(): void {
    for (const server of this.servers) server.resume();
  }

  async drained(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    await Promise.all(this.servers.map((server) => server.drained(timeoutMs)));
  }

  async close(): Promise<void> {
    this.pause();
    await this.drained();
    await Promise.all(this.servers.map((server) => server.close(DRAIN_TIMEOUT_MS)));
    if (this.isReleased) return;
    this.isReleased = true;
    this.eventsWatch?.stop();
    for (const queue of this.queues) queue.release();
    this.journal.close();
  }

  forget(): void {
    removeJournal(this.address);
  }

  private prepare(journal: JournalFile, blockDevice: BlockDevice): void {
    // With several, none looks awake: the others' requests would wait meanwhile.
    const spinUs = this.queues.length === 1 ? askedSpinUs() : 0;
    for (const [ringIndex, queue] of this.queues.entries()) {
      const server = queue.prepare(journal, blockDevice, {
        counters: this.counters,
        ringIndex,
        spinUs,
        onStopped: (reason) => this.stop(reason),
      });
      this.servers.push(server);
    }
  }

  private heard(): void {
    if (this.isReleased || this.stopped !== null) return;
    const { events } = this.system;
    try {
      const count = events.takePending();
      for (let at = 0; at < count; at++) {
        const port = events.ports[at];
        for (let index = 0; index < this.queues.length; index++) {
          // None of them: of rings that were closed after it fired.
          if (this.queues[index].port !== port) continue;
          events.unmask(port);
          this.servers[index].wake();
        }
      }
    } catch (error) {
      this.stop(
        new TapdiskError(
          'XEN_EVENTS_FAILED',
          `The event channels of domain ${this.address.domid} cannot be heard ` +
            `(${sentenceOf(error)}); attach the disk afresh.`,
          { cause: error },
        ),
      );
    }
  }

  private kick(queue: XenQueue): void {
    try {
      queue.kick();
    } catch {
      // The next push tells why, where there is one.
    }
  }

  /** One broken ring stops them all: they are one disk. */
  private stop(reason: TapdiskError): void {
    if (this.stopped !== null) return;
    this.stopped = reason;
    for (const server of this.servers) server.stopFor(reason);
    this.listener.onStopped(reason);
  }
}

/** The handshake has refused what a guest said outside of these. */
function checkAddress({ queues, ringOrder }: XenRingsAddress): void {
  assert(queues.length >= 1 && queues.length <= XEN_QUEUES_MAX, 'queues within their limit');
  for (const { ringRefs } of queues) {
    assert(ringRefs.length === 2 ** ringOrder, 'a ring has its pages');
  }
}
