/**
 * The other side of a stand-in device, its ring's front end: it fills the ring as a guest's blkfront
 * or blktap's kernel does, for replay, benchmarks and tests.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mapping } from '../../../native-bindings/mapping';
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import {
  BLKIF_OP_DISCARD,
  FrontRing,
  initialiseSharedRing,
  PAGE_BYTES,
  RingResponse,
  SECTOR_BYTES,
  SECTORS_PER_PAGE,
  SEGMENTS_PER_REQUEST_MAX,
} from '../../ring';
import {
  BACK_END_LIVENESS_INTERVAL_MS,
  RESPONSES_PER_WAKEUP_MAX,
  SHM_HANDSHAKE_POLL_MS,
  SHM_HANDSHAKE_TIMEOUT_MS,
} from '../limits';
import { RequestBuilder } from './request-builder';
import { ShmDevice } from './shm-device';
import { ShmDoorbell } from './shm-doorbell';
import { shmAbi, shmDataPages, shmSlots } from './shm-geometry';
import { isTaken, readState, type ServedDisk, ShmSide } from './shm-side';
import { SlotTable } from './slot-table';

export interface ShmGuestEvents {
  /** A request ended with a BLKIF_RSP_*. Its slot is the caller's again: use it or release it. */
  completed(slot: number, status: number): void;
  /** The back end died or left; what is in flight waits for the next one. */
  backEndLost?(): void;
  /**
   * A back end has come (again) and a fresh ring is ready: call `resubmit`, now or later. Without
   * this, it is called at once.
   */
  reconnected?(): void;
  /** The disk has another size now, see `sectors`. */
  resized?(): void;
  /** The back end answered what was not asked; nothing more is taken from it. */
  broken?(reason: TapdiskError): void;
}

export class ShmGuest {
  /** Requests that can be in flight. */
  readonly slots: number;
  /** Most sectors that a request can move. */
  readonly sectorsMax: number;

  private readonly data: Buffer;
  private readonly slotViews: Buffer[];
  private readonly table: SlotTable;
  private readonly builder: RequestBuilder;
  private readonly response = new RingResponse();
  private disk: ServedDisk = { sectors: 0, readOnly: false };
  private ring: FrontRing;
  private session = 0;
  private lost = false;
  private brokenReason: TapdiskError | null = null;
  private isClosed = false;
  private isOpen = false;
  private liveness: NodeJS.Timeout | null = null;
  private nextTurn: NodeJS.Immediate | null = null;

  /**
   * Opens a device and waits until a back end serves it.
   *
   * @throws TapdiskError SHM_IN_USE, SHM_NO_BACK_END, and those of ShmDevice.open
   */
  static async open(
    directory: string,
    events: ShmGuestEvents,
    timeoutMs = SHM_HANDSHAKE_TIMEOUT_MS,
  ): Promise<ShmGuest> {
    const device = ShmDevice.open(directory);
    const side = ShmSide.take(device, 'front');
    let mapping: Mapping | null = null;
    let doorbell: ShmDoorbell | null = null;
    try {
      mapping = device.map();
      doorbell = new ShmDoorbell(device, 'front');
      const opened = new ShmGuest(device, side, mapping, doorbell, events);
      try {
        await opened.connect(performance.now() + timeoutMs);
      } catch (error) {
        opened.close();
        throw error;
      }
      return opened;
    } catch (error) {
      doorbell?.close();
      mapping?.unmap();
      side.release();
      throw error;
    }
  }

  private constructor(
    private readonly device: ShmDevice,
    private readonly side: ShmSide,
    private readonly mapping: Mapping,
    private readonly doorbell: ShmDoorbell,
    private readonly events: ShmGuestEvents,
  ) {
    const { geometry } = device;
    const dataOffset = geometry.ringPages * PAGE_BYTES;
    this.slots = shmSlots(geometry);
    this.data = mapping.bytes.subarray(
      dataOffset,
      dataOffset + shmDataPages(geometry) * PAGE_BYTES,
    );
    this.builder = new RequestBuilder(geometry, this.data);
    const segmentsMax = Math.max(SEGMENTS_PER_REQUEST_MAX, geometry.indirectSegmentsMax);
    this.sectorsMax = segmentsMax * SECTORS_PER_PAGE;
    const slotBytes = geometry.dataPagesPerSlot * PAGE_BYTES;
    this.slotViews = Array.from({ length: this.slots }, (_, slot) =>
      this.data.subarray(slot * slotBytes, slot * slotBytes + this.sectorsMax * SECTOR_BYTES),
    );
    this.table = new SlotTable(this.slots, segmentsMax);
    this.ring = this.newRing();
  }

  /** Size of the disk, as the back end says. */
  get sectors(): number {
    return this.disk.sectors;
  }

  get readOnly(): boolean {
    return this.disk.readOnly;
  }

  /** Requests submitted and not answered. */
  inFlight(): number {
    return this.table.inFlight;
  }

  /** Their slots, in the order in which they were submitted. */
  unanswered(): number[] {
    return this.table.unanswered();
  }

  /** Why the back end is not believed any more, or null. */
  get broken(): TapdiskError | null {
    return this.brokenReason;
  }

  /** A slot to fill and submit, or -1 while all are taken. */
  acquireSlot(): number {
    return this.table.acquire();
  }

  releaseSlot(slot: number): void {
    this.table.release(slot);
  }

  /** The slot's data, `sectorsMax` sectors; the back end's from `submit` to `completed`. */
  slotMemory(slot: number): Buffer {
    return this.slotViews[slot];
  }

  /**
   * Puts a request on the ring, unseen until `push`. `operation` is BLKIF_OP_READ, _WRITE,
   * _WRITE_BARRIER, _FLUSH_DISKCACHE or _DISCARD, whatever the ring's ABI numbers it; the data
   * lies from the first byte of the slot's memory. Without a back end it waits for one.
   */
  submit(slot: number, operation: number, sector: number, sectorCount: number): void {
    if (operation === BLKIF_OP_DISCARD) {
      this.table.submitBare(slot, operation, sector, sectorCount);
    } else {
      this.table.submitPacked(slot, operation, sector, sectorCount);
    }
    if (!this.lost) this.put(slot);
  }

  /**
   * As `submit`, with segments of any shape: segment s covers the sectors first[s] to last[s] of
   * the slot's page s. Not for a discard.
   */
  submitShaped(
    slot: number,
    operation: number,
    sector: number,
    segments: number,
    first: Uint8Array,
    last: Uint8Array,
  ): void {
    this.table.submitShaped(slot, operation, sector, segments, first, last);
    if (!this.lost) this.put(slot);
  }

  /** Shows the back end what was submitted, and rings if it wants to be told. */
  push(): void {
    if (this.ring.push()) this.doorbell.ring();
  }

  /** Takes what has been answered without waiting for a doorbell; returns how many. */
  poll(): number {
    const before = this.table.inFlight;
    this.drain();
    return before - this.table.inFlight;
  }

  /** Sends all unanswered requests again, in order; returns how many. After `reconnected`. */
  resubmit(): number {
    assert(this.ring.inFlight === 0, 'requests are sent again on a fresh ring, once');
    this.lost = false;
    const slots = this.table.unanswered();
    for (const slot of slots) this.put(slot);
    this.push();
    return slots.length;
  }

  /** Leaves the ring; what is in flight is forgotten. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.liveness !== null) clearInterval(this.liveness);
    if (this.nextTurn !== null) clearImmediate(this.nextTurn);
    this.side.announce(this.session, 'closed');
    this.doorbell.ringState();
    this.doorbell.close();
    this.mapping.unmap();
    this.side.release();
  }

  private async connect(deadline: number): Promise<void> {
    const { device, side } = this;
    const seen = [side.state?.session ?? 0, readState(device, 'back')?.session ?? 0];
    this.session = Math.max(...seen) + 1;
    side.announce(this.session, 'initialising');
    this.doorbell.ringState();
    // An older session's back end may have requests in flight into our pages: not before it left.
    while (readState(device, 'back')?.state === 'connected' && isTaken(device, 'back')) {
      await this.waitForBackEnd(deadline);
    }
    this.makeRing();
    while (!this.isServed()) {
      await this.waitForBackEnd(deadline);
      // A back end can come, join and die while we wait: the next one wants another ring.
      this.followBackEnd();
    }
    this.isOpen = true;
    this.doorbell.listen(() => this.heard());
    this.liveness = setInterval(() => this.checkBackEnd(), BACK_END_LIVENESS_INTERVAL_MS);
    this.liveness.unref();
  }

  private async waitForBackEnd(deadline: number): Promise<void> {
    if (performance.now() >= deadline) {
      throw new TapdiskError(
        'SHM_NO_BACK_END',
        `No back end serves the stand-in device ${this.device.directory}; attach a volume to it.`,
        { transient: true },
      );
    }
    await sleep(SHM_HANDSHAKE_POLL_MS);
  }

  /** Whether a back end is on our ring; learns what it serves. */
  private isServed(): boolean {
    const back = readState(this.device, 'back');
    if (back?.state !== 'connected' || back.session !== this.session) return false;
    if (back.disk !== undefined) this.learn(back.disk);
    return true;
  }

  private learn(disk: ServedDisk): void {
    const isResized = this.isOpen && disk.sectors !== this.disk.sectors;
    this.disk = disk;
    if (isResized) this.events.resized?.();
  }

  /** No back end is on the ring now, nor will one be before it reads 'connected'. */
  private makeRing(): void {
    initialiseSharedRing(this.mapping.bytes);
    this.ring = this.newRing();
    this.side.announce(this.session, 'connected');
    this.doorbell.ringState();
  }

  private newRing(): FrontRing {
    const { geometry } = this.device;
    const bytes = this.mapping.bytes.subarray(0, geometry.ringPages * PAGE_BYTES);
    return new FrontRing(bytes, shmAbi(geometry), geometry.ringPages);
  }

  private put(slot: number): void {
    const room = this.ring.put(this.builder.build(slot, this.table));
    assert(room || this.ring.stopped !== null, 'a ring has room for each of its slots');
  }

  private heard(): void {
    if (this.doorbell.hear().state) this.followBackEnd();
    this.drain();
  }

  private checkBackEnd(): void {
    if (!this.lost && !isTaken(this.device, 'back')) this.loseBackEnd();
    this.followBackEnd();
  }

  private loseBackEnd(): void {
    // What it answered before its death counts.
    this.drain();
    this.lost = true;
    this.events.backEndLost?.();
  }

  /** A back end that waits at our session, or beyond, will not touch the ring as it is. */
  private followBackEnd(): void {
    if (this.isClosed || this.isServed()) return;
    const back = readState(this.device, 'back');
    if (back?.state !== 'waiting' || back.session < this.session) return;
    if (this.isOpen && !this.lost) this.loseBackEnd();
    this.session = back.session + 1;
    this.brokenReason = null;
    this.makeRing();
    if (!this.isOpen) return;
    if (this.events.reconnected === undefined) this.resubmit();
    else this.events.reconnected();
  }

  private drain(): void {
    if (this.isClosed || this.nextTurn !== null) return;
    const { ring, response } = this;
    let left = RESPONSES_PER_WAKEUP_MAX;
    do {
      while (this.brokenReason === null && ring.next(response)) {
        this.complete(response);
        if (this.isClosed) return;
        if (--left === 0) return this.continueNextTurn();
      }
    } while (this.brokenReason === null && ring.finalCheck());
    if (ring.stopped !== null) this.breakOff(ring.stopped.message);
  }

  private complete(response: RingResponse): void {
    const { idLow: slot, idHigh, wireOperation, status } = response;
    if (idHigh !== 0 || slot >= this.slots || !this.table.isInFlight(slot)) {
      this.breakOff(`it answered request ${idHigh * 2 ** 32 + slot}, which is not in flight`);
      return;
    }
    const asked = shmAbi(this.device.geometry).wireOperationOf(this.table.operation[slot]);
    if (wireOperation !== asked) {
      this.breakOff(`it answered operation ${asked} of request ${slot} as ${wireOperation}`);
      return;
    }
    this.table.answered(slot);
    this.events.completed(slot, status);
  }

  private breakOff(why: string): void {
    if (this.brokenReason !== null) return;
    this.brokenReason = new TapdiskError(
      'SHM_BACK_END_BROKEN',
      `The back end of ${this.device.directory} broke the ring's rules: ${why}.`,
    );
    this.events.broken?.(this.brokenReason);
  }

  private continueNextTurn(): void {
    this.nextTurn = setImmediate(() => {
      this.nextTurn = null;
      this.drain();
    });
  }
}
