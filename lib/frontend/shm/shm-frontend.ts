/** Serves a VBD to whoever fills a stand-in device's ring: the back end of that ring. */
import type { Mapping } from '../../../native-bindings/mapping';
import { type WatchReadable, watchReadable } from '../../../native-bindings/readiness';
import { TapdiskError } from '../../errors';
import { BackRing, PAGE_BYTES } from '../../ring';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import { askedSpinUs } from '../awake-look';
import type { Frontend, FrontendEvents } from '../frontend';
import { DOORBELL_UNREAD_MS, DOORBELLS_UNREAD_MAX, DRAIN_TIMEOUT_MS } from '../limits';
import { newRingCounters } from '../ring-counters';
import type { RingDevice } from '../ring-device';
import { RingServer } from '../ring-server';
import { DataPageMapper, type SegmentMapper } from '../segment-mapper';
import { ShmDevice } from './shm-device';
import { ShmDoorbell } from './shm-doorbell';
import { shmAbi, shmDataPages, shmSlots } from './shm-geometry';
import { readState, ShmSide } from './shm-side';

/**
 * Serves one session of the ring after the other. A ring that an earlier back end served is never
 * taken up again: slots of unanswered requests may hold answers to others, so the front end is
 * asked to make a fresh one and to send them again. A fresh one also heals a ring that was stopped.
 */
export class ShmFrontend implements Frontend {
  readonly kind = 'shm';
  readonly path: string;
  readonly flushCapable = true;
  readonly survivesClose = true;
  readonly counters = newRingCounters();
  stopped: TapdiskError | null = null;

  private readonly mapping: Mapping;
  private readonly doorbell: ShmDoorbell;
  private readonly mapper: SegmentMapper;
  private server: RingServer | null = null;
  /** The session being served or, without a server, the last one that any back end served. */
  private session: number;
  private paused = false;
  private leaving = false;
  /** Requests taken when the doorbell was last heard, and how often since it was read. */
  private requestsHeard = 0;
  private doorbellsUnread = 0;
  private readingSoon: NodeJS.Timeout | null = null;
  private isClosed = false;

  /**
   * Opens, locks and maps the device. `watch` is what its doorbell is heard with, `ringIndex` which
   * of a disk's rings this is, `spinUs` for how long its server looks awake for the next request.
   *
   * @throws TapdiskError SPIN_INVALID, SHM_IN_USE, and those of ShmDevice.open
   */
  static open(
    directory: string,
    blockDevice: BlockDevice,
    events: Pick<FrontendEvents, 'onStopped'>,
    watch: WatchReadable = watchReadable,
    ringIndex = 0,
    spinUs = askedSpinUs(),
  ): ShmFrontend {
    const device = ShmDevice.open(directory);
    const side = ShmSide.take(device, 'back');
    try {
      return new ShmFrontend(device, side, blockDevice, events, watch, ringIndex, spinUs);
    } catch (error) {
      side.release();
      throw error;
    }
  }

  private constructor(
    private readonly device: ShmDevice,
    private readonly side: ShmSide,
    private readonly blockDevice: BlockDevice,
    private readonly events: Pick<FrontendEvents, 'onStopped'>,
    private readonly watch: WatchReadable,
    private readonly ringIndex: number,
    private readonly spinUs: number,
  ) {
    const { geometry } = device;
    this.path = `shm:${device.directory}`;
    this.mapping = device.map();
    try {
      this.doorbell = new ShmDoorbell(device, 'back');
    } catch (error) {
      this.mapping.unmap();
      throw error;
    }
    this.session = side.state?.session ?? 0;
    this.mapper = new DataPageMapper({
      memory: this.mapping,
      offset: geometry.ringPages * PAGE_BYTES,
      pages: shmDataPages(geometry),
      pagesPerSlot: geometry.dataPagesPerSlot,
      addressing: geometry.addressing,
    });
  }

  get steadyMemory(): readonly MemoryArea[] {
    return [this.mapping];
  }

  get inFlight(): number {
    return this.server?.inFlight ?? 0;
  }

  start(): void {
    this.doorbell.listen(() => this.heard(), this.watch);
    this.announceWaiting();
    this.followFrontEnd();
  }

  pause(): void {
    this.paused = true;
    this.server?.pause();
  }

  resume(): void {
    this.paused = false;
    this.server?.resume();
  }

  /** The same session goes on: its front end reads the size again. */
  resized(): void {
    if (this.server === null || this.leaving || this.isClosed) return;
    this.announceConnected();
    this.doorbell.ringState();
  }

  /** Stops the ring, where it is served, for what another ring of the disk has done. */
  stop(reason: TapdiskError): void {
    if (this.server === null || this.stopped !== null) return;
    this.server.stopFor(reason);
    this.stopped = reason;
  }

  /** Undoes `open`, before `start`. */
  giveBack(): void {
    this.isClosed = true;
    this.doorbell.close();
    this.mapping.unmap();
    this.side.release();
  }

  drained(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    return this.server?.drained(timeoutMs) ?? Promise.resolve();
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    await this.server?.close(DRAIN_TIMEOUT_MS);
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.readingSoon !== null) clearTimeout(this.readingSoon);
    this.side.announce(this.session, 'closed');
    this.doorbell.ringState();
    this.doorbell.close();
    this.mapping.unmap();
    this.side.release();
  }

  /**
   * Requests explain a doorbell, so its byte is left unread for a while: a read costs as much as a
   * request does, and each further byte is told all the same. What may hide among the bytes, news
   * of the front end's state, waits that long at most.
   */
  private heard(): void {
    const { counters } = this;
    this.server?.wake();
    const isExplained = counters.requests !== this.requestsHeard;
    this.requestsHeard = counters.requests;
    if (!isExplained || ++this.doorbellsUnread >= DOORBELLS_UNREAD_MAX) this.readDoorbell();
    else this.readingSoon ??= setTimeout(this.readDoorbell, DOORBELL_UNREAD_MS);
  }

  private readonly readDoorbell = (): void => {
    if (this.readingSoon !== null) clearTimeout(this.readingSoon);
    this.readingSoon = null;
    this.doorbellsUnread = 0;
    if (this.doorbell.hear().state) this.followFrontEnd();
    // What was just read may have rung a moment ago, and is told no more.
    this.server?.pollOnce();
  };

  /** Leaves a session that the front end has left, joins one that it has made. */
  private followFrontEnd(): void {
    if (this.isClosed || this.leaving) return;
    const front = readState(this.device, 'front');
    if (front === undefined) return;
    const connected = front.state === 'connected';
    if (this.server !== null) {
      if (!connected || front.session !== this.session) this.leave(this.server);
    } else if (connected && front.session > this.session) {
      this.join(front.session);
    }
  }

  private join(session: number): void {
    this.session = session;
    this.stopped = null;
    // Before the ring is touched: whoever comes after our death must know that it was.
    this.announceConnected();
    this.server = new RingServer(this.ringDevice(), this.blockDevice, {
      counters: this.counters,
      ringIndex: this.ringIndex,
      spinUs: this.spinUs,
      onStopped: (reason) => this.ringStopped(reason),
    });
    if (this.paused) this.server.pause();
    this.doorbell.ringState();
    this.server.pollOnce();
  }

  /** The ring belongs to the front end again once nothing is in flight into its pages. */
  private leave(server: RingServer): void {
    this.leaving = true;
    server.abandon();
    server.drained(DRAIN_TIMEOUT_MS).then(
      () => {
        this.leaving = false;
        this.server = null;
        if (this.isClosed) return;
        this.announceWaiting();
        this.followFrontEnd();
      },
      (error: TapdiskError) => {
        this.leaving = false;
        this.ringStopped(error);
      },
    );
  }

  private announceConnected(): void {
    const { sectors, readOnly } = this.blockDevice;
    this.side.announce(this.session, 'connected', { sectors, readOnly });
  }

  private announceWaiting(): void {
    this.side.announce(this.session, 'waiting');
    this.doorbell.ringState();
  }

  private ringStopped(reason: TapdiskError): void {
    this.stopped = reason;
    this.events.onStopped(reason);
  }

  private ringDevice(): RingDevice {
    const { geometry } = this.device;
    const ringBytes = geometry.ringPages * PAGE_BYTES;
    const blkif = geometry.abi !== 'blktap2';
    return {
      ring: new BackRing(
        this.mapping.bytes.subarray(0, ringBytes),
        shmAbi(geometry),
        geometry.ringPages,
      ),
      mapper: this.mapper,
      idSlots: geometry.addressing === 'slot' ? shmSlots(geometry) : 0,
      indirectSegmentsMax: geometry.indirectSegmentsMax,
      barrier: blkif,
      flush: true,
      discard: true,
      poll: noPoll,
      kick: () => this.doorbell.ring(),
    };
  }
}

/** Shared memory needs no asking: what was pushed is on the ring. */
function noPoll(): void {
  return;
}
