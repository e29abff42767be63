/** Moves requests from a ring to a VBD and their statuses back: the data path's first station. */
import { assert } from '../assert';
import { sentenceOf, TapdiskError } from '../errors';
// Not from the room's index: each use of a constant by way of it is a call, some 0.3 µs a request.
import { checkHeader, checkRequest, type RequestLimits } from '../ring/check-request';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from '../ring/operations';
import { RingRequest } from '../ring/ring-request';
import type { BlockDevice } from '../vbd/block-device';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  type RequestOperation,
  type RequestSource,
  type VbdRequest,
} from '../vbd/request';
import { AwakeLook } from './awake-look';
import { IdleWaiters } from './idle-waiters';
import { POOL_RETRY_MS, REQUESTS_PER_KICK_MAX, REQUESTS_PER_WAKEUP_MAX } from './limits';
import type { RingCounters } from './ring-counters';
import type { RingDevice } from './ring-device';

export interface RingServerOptions {
  readonly counters: RingCounters;
  /** Which of a VBD's rings this is, for its observers. */
  readonly ringIndex?: number;
  /** For how long to look awake for the next request when the last one is answered; default: 0. */
  readonly spinUs?: number;
  /** Called once, when the other side broke the ring: no response goes out any more. */
  readonly onStopped: (reason: TapdiskError) => void;
}

/**
 * Serves one ring. It never answers a request twice, nor one that is not in flight, and touches
 * no data page: those are the VBD's from `submit` to `requestDone`, and the other side's again
 * once the response is pushed.
 */
export class RingServer implements RequestSource {
  /** Why the ring was stopped; null while it is sound. */
  stopped: TapdiskError | null = null;
  /** Requests at the VBD. */
  inFlight = 0;

  private readonly limits: { -readonly [name in keyof RequestLimits]: RequestLimits[name] };
  private readonly idInFlight: Uint8Array;
  private readonly wire = new RingRequest();
  private readonly idle = new IdleWaiters();
  private readonly awakeLook: AwakeLook;
  private readonly counters: RingCounters;
  private readonly ringIndex: number;
  private paused = false;
  private closed = false;
  private draining = false;
  private responsesWaiting = false;
  private poolEmpty = false;
  private nextTurn: NodeJS.Immediate | null = null;
  private poolRetry: NodeJS.Timeout | null = null;

  constructor(
    private readonly device: RingDevice,
    private readonly blockDevice: BlockDevice,
    private readonly options: RingServerOptions,
  ) {
    this.counters = options.counters;
    this.ringIndex = options.ringIndex ?? 0;
    this.awakeLook = new AwakeLook(options.spinUs ?? 0);
    this.idInFlight = new Uint8Array(device.idSlots);
    this.limits = {
      sectors: blockDevice.sectors,
      readOnly: blockDevice.readOnly,
      indirectSegmentsMax: device.indirectSegmentsMax,
      discard: device.discard && blockDevice.discardGranularityBytes > 0,
      flush: device.flush,
      barrier: device.barrier,
    };
  }

  /** The doorbell rang. */
  wake(): void {
    this.counters.wakeups++;
    this.drain();
  }

  /** Looks at the ring once, without a doorbell; true if there was something on it. */
  pollOnce(): boolean {
    const before = this.counters.requests;
    this.drain();
    return this.counters.requests !== before;
  }

  /** Takes nothing more from the ring; what was taken is still answered. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.drain();
  }

  /** Resolves when no request is at the VBD. Rejects with RING_DRAIN_TIMEOUT. */
  drained(timeoutMs: number): Promise<void> {
    return this.idle.wait(
      () => this.inFlight === 0,
      timeoutMs,
      () => this.inFlight,
    );
  }

  /** Stops taking requests, for good, and waits until all taken ones are answered. */
  async close(timeoutMs: number): Promise<void> {
    this.pause();
    await this.drained(timeoutMs);
    this.abandon();
  }

  /**
   * Leaves the ring's memory alone from now on: nothing is taken, no response is pushed. Requests
   * at the VBD end silently; `drained` tells when the last one has.
   */
  abandon(): void {
    this.closed = true;
    if (this.nextTurn !== null) clearImmediate(this.nextTurn);
    if (this.poolRetry !== null) clearTimeout(this.poolRetry);
    this.nextTurn = null;
    this.poolRetry = null;
  }

  /** Stops the ring for a reason that lies elsewhere; `onStopped` is not called. */
  stopFor(reason: TapdiskError): void {
    this.stopped ??= reason;
  }

  requestDone(request: VbdRequest): void {
    assert(this.inFlight > 0, 'a request that ends was in flight');
    this.inFlight--;
    const { idLow, idHigh, wireOperation, status, journalEntry } = request;
    this.blockDevice.release(request);
    this.respond(idLow, idHigh, wireOperation, status, journalEntry);
  }

  batchDone(): void {
    // Inside a drain its own loop pushes, once for all that ended meanwhile.
    if (this.draining) return;
    const looks = this.inFlight === 0 && this.serving && this.awakeLook.isDue();
    if (looks) this.device.ring.expectNoBell();
    this.pushResponses();
    if (looks) this.lookAwake();
    // Some blktap kernels hand over waiting requests only when polled after responses.
    this.drain();
    if (this.inFlight === 0) this.idle.notify();
  }

  private lookAwake(): void {
    // What others have begun in this batch does not wait for that.
    this.blockDevice.kick();
    this.awakeLook.look(this.device.ring);
  }

  private drain(): void {
    if (this.draining || this.nextTurn !== null) return;
    this.draining = true;
    try {
      this.drainWithin(REQUESTS_PER_WAKEUP_MAX);
    } finally {
      this.draining = false;
    }
    if (this.inFlight === 0) this.idle.notify();
  }

  private drainWithin(requestsMax: number): void {
    let left = requestsMax;
    this.poolEmpty = false;
    while (this.serving) {
      if (!this.pollDevice()) return;
      const taken = this.take(Math.min(left, REQUESTS_PER_KICK_MAX));
      left -= taken;
      if (taken > 0) this.blockDevice.kick();
      this.pushResponses();
      if (this.poolEmpty) return this.waitForPool();
      if (left === 0) return this.continueNextTurn();
      if (taken === 0 && !this.device.ring.finalCheck()) return this.checkRing();
    }
  }

  private get serving(): boolean {
    return !this.paused && !this.closed && this.stopped === null;
  }

  /** Hands up to `requestsMax` requests to the VBD, or refuses them; returns how many. */
  private take(requestsMax: number): number {
    const { ring } = this.device;
    // A disk can be resized while its ring is served.
    this.limits.sectors = this.blockDevice.sectors;
    let taken = 0;
    while (taken < requestsMax && this.stopped === null) {
      const request = this.blockDevice.acquire();
      if (request === null) {
        this.counters.poolEmpty++;
        this.poolEmpty = true;
        break;
      }
      if (!ring.next(this.wire)) {
        this.blockDevice.release(request);
        this.checkRing();
        break;
      }
      taken++;
      this.accept(request);
    }
    return taken;
  }

  private accept(request: VbdRequest): void {
    const { wire } = this;
    this.counters.requests++;
    if (!this.claimId()) {
      this.blockDevice.release(request);
      return;
    }
    const status = this.fill(request);
    if (status === BLKIF_RSP_OKAY) {
      this.inFlight++;
      this.blockDevice.submit(request);
    } else {
      this.counters.refused++;
      this.blockDevice.release(request);
      this.respond(wire.idLow, wire.idHigh, wire.responseOperation, status, wire.journalEntry);
    }
  }

  /** False: the ring was stopped, since answering this id would be wrong whatever we answered. */
  private claimId(): boolean {
    const { idSlots } = this.device;
    if (idSlots === 0) return true;
    const { idLow, idHigh } = this.wire;
    if (idHigh !== 0 || idLow >= idSlots) {
      this.stop(
        'RING_ID_OUT_OF_RANGE',
        `The ring carried the request id ${idHigh * 2 ** 32 + idLow}, but its ids are ` +
          `0 to ${idSlots - 1}; the ring is stopped, attach the disk afresh.`,
      );
      return false;
    }
    if (this.idInFlight[idLow] !== 0) {
      this.stop(
        'RING_ID_IN_FLIGHT',
        `The ring carried the request id ${idLow} a second time before the first was answered; ` +
          `the ring is stopped, attach the disk afresh.`,
      );
      return false;
    }
    this.idInFlight[idLow] = 1;
    return true;
  }

  /** From the ring's request to the VBD's. Returns BLKIF_RSP_OKAY, or the status to refuse with. */
  private fill(request: VbdRequest): number {
    const { wire, limits, device } = this;
    if (wire.operation === BLKIF_OP_INDIRECT) {
      const status = checkHeader(wire, limits);
      if (status !== BLKIF_RSP_OKAY) return status;
      if (!device.mapper.takeIndirectSegments(wire, wire.nrSegments)) return BLKIF_RSP_ERROR;
    }
    const status = checkRequest(wire, limits);
    if (status !== BLKIF_RSP_OKAY) return status;
    if (!device.mapper.map(wire, request)) return BLKIF_RSP_ERROR;
    request.operation = vbdOperationOf(wire);
    request.sectorCount = wire.totalSectors;
    // A flush of nothing may carry any sector number.
    request.sector = wire.totalSectors === 0 ? 0 : wire.sector;
    request.forceUnitAccess = false;
    request.source = this;
    request.idLow = wire.idLow;
    request.idHigh = wire.idHigh;
    request.wireOperation = wire.responseOperation;
    request.journalEntry = wire.journalEntry;
    request.ringIndex = this.ringIndex;
    return BLKIF_RSP_OKAY;
  }

  private respond(
    idLow: number,
    idHigh: number,
    wireOperation: number,
    status: number,
    journalEntry: number,
  ): void {
    if (this.closed || this.stopped !== null) return;
    if (this.device.idSlots > 0) {
      assert(this.idInFlight[idLow] === 1, 'only an id in flight is answered');
      this.idInFlight[idLow] = 0;
    }
    this.device.ring.respond(idLow, idHigh, wireOperation, status, journalEntry);
    this.counters.responses++;
    this.responsesWaiting = true;
  }

  private pushResponses(): void {
    if (!this.responsesWaiting || this.closed || this.stopped !== null) return;
    this.responsesWaiting = false;
    if (!this.device.ring.push()) return;
    this.counters.kicks++;
    try {
      this.device.kick();
    } catch (error) {
      this.stop(
        'RING_KICK_FAILED',
        `The other side of the ring could not be told of responses (${sentenceOf(error)}); ` +
          `the ring is stopped, attach the disk afresh.`,
      );
    }
  }

  private pollDevice(): boolean {
    try {
      this.device.poll();
      return true;
    } catch (error) {
      this.stop(
        'RING_POLL_FAILED',
        `The ring's device could not be polled (${sentenceOf(error)}); ` +
          `the ring is stopped, attach the disk afresh.`,
      );
      return false;
    }
  }

  /** A ring says that it is broken by having nothing more to take. */
  private checkRing(): void {
    const reason = this.device.ring.stopped;
    if (reason !== null) this.stop(reason.code, reason.message);
  }

  private stop(code: string, sentence: string): void {
    if (this.stopped !== null) return;
    this.stopped = new TapdiskError(code, sentence);
    this.options.onStopped(this.stopped);
  }

  private continueNextTurn(): void {
    this.nextTurn ??= setImmediate(() => {
      this.nextTurn = null;
      this.drain();
    });
  }

  /** The end of one of our own requests wakes us; with none, only time can. */
  private waitForPool(): void {
    if (this.inFlight > 0 || this.poolRetry !== null) return;
    this.poolRetry = setTimeout(() => {
      this.poolRetry = null;
      this.drain();
    }, POOL_RETRY_MS);
  }
}

function vbdOperationOf(wire: RingRequest): RequestOperation {
  const operation = wire.operation === BLKIF_OP_INDIRECT ? wire.indirectOperation : wire.operation;
  switch (operation) {
    case BLKIF_OP_READ:
      return REQUEST_READ;
    case BLKIF_OP_WRITE:
      return REQUEST_WRITE;
    case BLKIF_OP_WRITE_BARRIER:
      return REQUEST_BARRIER;
    case BLKIF_OP_FLUSH_DISKCACHE:
      return REQUEST_FLUSH;
    case BLKIF_OP_DISCARD:
      return REQUEST_DISCARD;
    default:
      assert(false, `operation ${operation} passed the checks`);
  }
}
