/** One virtual block device: the life of each request, from submit to its one answer. */
import { assert } from '../assert';
import { TapdiskError } from '../errors';
import { FENCE_LOST, FENCE_OPEN, FENCE_WAITING } from '../fence';
import type { ChunkIo, ChunkIoOwner } from '../store/chunk-io';
import { DISCARD_GRANULARITY_BYTES } from '../volume/limits';
import type { Volume } from '../volume/volume';
import { SECTOR_BYTES } from '../sector';
import type { BlockAllocation } from './block-allocation';
import type { BlockDevice } from './block-device';
import { carriesData, checkRequest } from './check-request';
import { RangeDiscard } from './discard';
import { FenceWatch } from './fence-watch';
import { DRAIN_TIMEOUT_MS, REQUESTS_MAX, TRANSFERS_MAX } from './limits';
import type { RequestObserver } from './observer';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  type RequestSource,
  STATUS_ERROR,
  STATUS_OKAY,
  type VbdRequest,
} from './request';
import { RequestPool, RequestQueue } from './request-pool';
import { resizeVolume } from './resize';
import { splitRequest, transfersNeeded } from './split-request';
import { VbdStatistics } from './statistics';
import { TransferPool } from './transfer-pool';

const US_PER_MS = 1000;
/** errno of a request that was refused before any byte moved. */
const EINVAL = 22;
/** errno of every request of a volume that another has taken over. */
const EIO = 5;

/**
 * Order: requests run side by side, as on any disk with a queue. A FLUSH covers what was
 * acknowledged before it. A BARRIER waits for all before it, holds all after it, and is on disk
 * when it is acknowledged.
 *
 * Where others can take the volume, its fence is asked once for each batch of answers, when the
 * completions are there and before any is told. While it waits no answer leaves and no request
 * starts; when it opens all go on in their order; when the volume is lost all of them fail.
 */
export class Vbd implements BlockDevice, BlockAllocation, ChunkIoOwner {
  readonly discardGranularityBytes = DISCARD_GRANULARITY_BYTES;
  readonly statistics = new VbdStatistics();
  /** Sees every request; null when nobody looks. */
  observer: RequestObserver | null = null;
  /**
   * Flush before each write is acknowledged: for front ends that cannot ask for a flush, whose
   * users take a completed write for a durable one.
   */
  writeThrough = false;
  /** Null where the volume cannot be lost. */
  readonly fence: FenceWatch | null;

  private readonly requests = new RequestPool(REQUESTS_MAX);
  private readonly transfers = new TransferPool(TRANSFERS_MAX);
  /** Submitted, not started: behind a pause, a barrier, or for want of transfers. */
  private readonly held = new RequestQueue();
  /** Refused by the checks: ended at the next kick, since `submit` ends none. */
  private readonly refused = new RequestQueue();
  /** Carried out, not answered: only where there is a fence. */
  private readonly unanswered = new RequestQueue();
  private readonly sourcesToTell: RequestSource[] = [];
  private startedCount = 0;
  private barrierInFlight: VbdRequest | null = null;
  /** Transfers that flushes with data will take when they have flushed. */
  private reservedTransfers = 0;
  private isPaused = false;
  private isStandingStill = false;
  /** Null while no resize is under way. */
  private resizing: Promise<unknown> | null = null;
  private isClosed = false;
  private isEndingBatch = false;
  private isTurnAskedFor = false;
  private nowUs = 0;
  private whenIdle: (() => void)[] = [];

  constructor(private readonly volume: Volume) {
    volume.onBatchEnd = () => this.batchEnded();
    const { fence } = volume;
    this.fence = fence === null ? null : new FenceWatch(fence, () => this.fenceChanged());
  }

  get sectors(): number {
    return this.volume.sectors;
  }

  get readOnly(): boolean {
    return this.volume.readOnly;
  }

  /** Requests started and not ended. */
  get inFlight(): number {
    return this.startedCount;
  }

  get paused(): boolean {
    return this.isPaused;
  }

  nextAllocatedSector(from: number, end: number): number {
    return this.firstSector(from, end, (chunk, endChunk) =>
      this.volume.nextOwnedChunk(chunk, endChunk),
    );
  }

  nextFreeSector(from: number, end: number): number {
    return this.firstSector(from, end, (chunk, endChunk) =>
      this.volume.nextFreeChunk(chunk, endChunk),
    );
  }

  acquire(): VbdRequest | null {
    return this.requests.take();
  }

  release(request: VbdRequest): void {
    this.requests.give(request);
  }

  submit(request: VbdRequest): void {
    assert(!this.isClosed, 'no request comes after the close');
    if (this.nowUs === 0) this.nowUs = performance.now() * US_PER_MS;
    request.startedAtUs = this.nowUs;
    request.status = STATUS_OKAY;
    request.errno = 0;
    this.observer?.requestStarted(request);
    if (this.isLost) {
      request.errno = EIO;
      this.refused.push(request);
    } else if (this.mustRefuse(request)) {
      request.errno = EINVAL;
      this.refused.push(request);
    } else if (this.held.first !== null || !this.canStart(request)) {
      this.held.push(request);
    } else {
      this.start(request);
    }
  }

  kick(): void {
    this.nowUs = 0;
    this.volume.kick();
    if (this.refused.first !== null) {
      this.nowUs = performance.now() * US_PER_MS;
      for (let r = this.refused.shift(); r !== null; r = this.refused.shift()) {
        this.startedCount++;
        this.finish(r);
      }
      this.batchEnded();
    }
  }

  /** Resolves when nothing is in flight; requests that come wait for `resume`. */
  async pause(): Promise<void> {
    this.isPaused = true;
    try {
      await this.idle();
    } catch (error) {
      this.resume();
      throw error;
    }
  }

  resume(): void {
    // What is held is another's since the hand-over.
    if (this.isClosed) return;
    this.isPaused = false;
    this.startHeld();
    this.batchEnded();
  }

  /**
   * Gives the disk another size; one resize after the other. While what is served changes, requests
   * wait, whoever pauses or resumes. A disk that is made smaller has no front end: those that wait
   * were checked against the size before.
   *
   * @throws TapdiskError as resizeVolume
   */
  resize(sizeBytes: number): Promise<void> {
    const resized = (this.resizing ?? Promise.resolve()).then(() => {
      assert(!this.isClosed, 'no resize comes after the close');
      const isUsed = this.startedCount > 0 || this.held.first !== null;
      assert(!isUsed || sizeBytes >= this.sectors * SECTOR_BYTES, 'what shrinks is not used');
      return resizeVolume(this.volume, sizeBytes, {
        begin: () => this.standStill(),
        end: () => this.goOn(),
      });
    });
    const over: Promise<unknown> = resized
      .catch(() => {})
      .then(() => {
        if (this.resizing === over) this.resizing = null;
      });
    this.resizing = over;
    return resized;
  }

  /**
   * From a pause: flushes, and gives the volume to the standby of that name. Where it rejects, the
   * VBD is paused as before. Else requests that are held do not end before `close`, which alone may
   * follow: they are their source's to send elsewhere.
   */
  async handOver(to: string): Promise<void> {
    if (this.resizing !== null) await this.resizing;
    assert(this.isPaused && this.startedCount === 0, 'a VBD is handed over when paused');
    // That another has the volume is no loss from here on, and fails none of what is held.
    this.fence?.rest();
    try {
      await this.volume.handOver(to);
    } catch (error) {
      this.fence?.goOn();
      throw error;
    }
    this.isClosed = true;
  }

  /**
   * Ends a pause, waits for every request, flushes, and gives the volume back. After `handOver`
   * whoever sent what is held is gone: it ends as failed, so that its memory is given back.
   */
  async close(): Promise<void> {
    if (this.resizing !== null) await this.resizing;
    if (this.isClosed) {
      this.failAll();
      this.tellSources();
    } else {
      if (this.isPaused) this.resume();
      await this.idle();
    }
    this.isClosed = true;
    // Before the right is given back: that is no loss, and nothing below may be kicked any more.
    this.fence?.close();
    await this.volume.close();
  }

  chunkIoDone(io: ChunkIo): void {
    const request = this.requests.at(io.tag);
    if (io.errno !== 0) request.errno = io.errno;
    this.transfers.give(io);
    if (--request.pending === 0) this.dataDone(request);
  }

  /** First sector in [from, end) of a chunk that the search finds, or `end`. */
  private firstSector(
    from: number,
    end: number,
    search: (chunk: number, endChunk: number) => number,
  ): number {
    const sectorsPerChunk = this.volume.chunkBytes / SECTOR_BYTES;
    const found = search(Math.floor(from / sectorsPerChunk), Math.ceil(end / sectorsPerChunk));
    return found < 0 ? end : Math.max(from, found * sectorsPerChunk);
  }

  private get isLost(): boolean {
    return this.fence !== null && this.fence.seen === FENCE_LOST;
  }

  private mustRefuse(request: VbdRequest): boolean {
    const { sectors, readOnly } = this.volume;
    if (checkRequest(request, sectors, readOnly) !== STATUS_OKAY) return true;
    // It could never start, and would hold all that come after it.
    return carriesData(request) && this.transfersNeeded(request) > TRANSFERS_MAX;
  }

  private transfersNeeded(request: VbdRequest): number {
    return request.runCount === 0 ? 0 : transfersNeeded(request, this.volume.chunkBytes);
  }

  private canStart(request: VbdRequest): boolean {
    if (this.isPaused || this.isStandingStill || this.barrierInFlight !== null) return false;
    if (this.fence !== null && this.fence.seen === FENCE_WAITING) return false;
    if (request.operation === REQUEST_BARRIER) return this.startedCount === 0;
    if (request.operation > REQUEST_FLUSH || request.runCount === 0) return true;
    return this.transfersNeeded(request) <= this.transfers.available - this.reservedTransfers;
  }

  private start(request: VbdRequest): void {
    this.startedCount++;
    switch (request.operation) {
      case REQUEST_READ:
      case REQUEST_WRITE:
        return this.startData(request);
      case REQUEST_BARRIER:
        this.barrierInFlight = request;
        return this.startFlush(request);
      case REQUEST_FLUSH:
        return this.startFlush(request);
      case REQUEST_DISCARD:
      case REQUEST_WRITE_ZEROES:
        return this.startDiscard(request);
    }
  }

  private startData(request: VbdRequest): void {
    // Completions never come from inside submit, so the count is set before the first one.
    request.pending = splitRequest(request, this.volume, this.transfers, this);
  }

  private startFlush(request: VbdRequest): void {
    this.reservedTransfers += this.transfersNeeded(request);
    this.flushThen(request, this.flushedBeforeData);
  }

  private startDiscard(request: VbdRequest): void {
    const mustZero = request.operation === REQUEST_WRITE_ZEROES;
    const { sector, sectorCount } = request;
    new RangeDiscard(this.volume, sector, sectorCount, mustZero, (errno) => {
      request.errno = errno;
      this.dataDone(request);
    }).start();
  }

  private flushThen(request: VbdRequest, next: (request: VbdRequest) => void): void {
    this.volume.flush((errno) => {
      if (errno !== 0) request.errno = errno;
      next(request);
    });
  }

  private readonly flushedBeforeData = (request: VbdRequest): void => {
    this.reservedTransfers -= this.transfersNeeded(request);
    if (request.errno !== 0 || request.runCount === 0) return this.finish(request);
    this.startData(request);
    this.volume.kick();
  };

  private readonly finish = (request: VbdRequest): void => {
    if (this.fence === null) this.answer(request);
    else this.unanswered.push(request);
  };

  private answer(request: VbdRequest): void {
    request.status = request.errno === 0 ? STATUS_OKAY : STATUS_ERROR;
    // Whole microseconds: a fraction would be a number that is allocated.
    const latencyUs = Math.round(this.clockUs() - request.startedAtUs);
    this.startedCount--;
    // Only its own: a barrier that the checks refused ends nothing.
    if (this.barrierInFlight === request) this.barrierInFlight = null;
    this.statistics.add(request, latencyUs);
    this.observer?.requestEnded(request, latencyUs);
    const { source } = request;
    if (!this.sourcesToTell.includes(source)) this.sourcesToTell.push(source);
    source.requestDone(request);
  }

  private dataDone(request: VbdRequest): void {
    if (request.errno === 0 && this.mustFlushAfter(request)) this.flushThen(request, this.finish);
    else this.finish(request);
  }

  private mustFlushAfter(request: VbdRequest): boolean {
    if (request.operation === REQUEST_READ) return false;
    return request.forceUnitAccess || this.writeThrough || request.operation === REQUEST_BARRIER;
  }

  private clockUs(): number {
    if (this.nowUs === 0) this.nowUs = performance.now() * US_PER_MS;
    return this.nowUs;
  }

  private startHeld(): void {
    for (let first = this.held.first; first !== null; first = this.held.first) {
      if (!this.canStart(first)) return;
      this.held.shift();
      this.start(first);
    }
  }

  /**
   * Sources may submit and kick from their batchDone, and some requests end within that kick. Their
   * batch ends in a turn of the event loop of its own, or it would nest without end.
   */
  private batchEnded(): void {
    if (!this.isEndingBatch) return this.endBatch();
    if (this.isTurnAskedFor) return;
    this.isTurnAskedFor = true;
    setImmediate(this.ownTurn);
  }

  private readonly ownTurn = (): void => {
    this.isTurnAskedFor = false;
    this.batchEnded();
  };

  private endBatch(): void {
    this.isEndingBatch = true;
    if (this.fence !== null) this.answerFenced(this.fence);
    if (this.held.first !== null) this.startHeld();
    this.tellSources();
    this.nowUs = 0;
    this.volume.kick();
    this.isEndingBatch = false;
    if (this.whenIdle.length > 0 && this.isIdle()) {
      for (const resolve of this.whenIdle.splice(0)) resolve();
    }
  }

  /** Answers what the fence lets pass; of a volume that is lost also what was never started. */
  private answerFenced(fence: FenceWatch): void {
    const { unanswered, held } = this;
    if (unanswered.first === null && held.first === null) return;
    const state = fence.look();
    if (state === FENCE_WAITING) return;
    if (state === FENCE_LOST) return this.failAll();
    for (let r = unanswered.shift(); r !== null; r = unanswered.shift()) this.answer(r);
  }

  private failAll(): void {
    const { unanswered, held } = this;
    for (let r = held.shift(); r !== null; r = held.shift()) {
      this.startedCount++;
      unanswered.push(r);
    }
    for (let r = unanswered.shift(); r !== null; r = unanswered.shift()) {
      r.errno = EIO;
      this.answer(r);
    }
  }

  private tellSources(): void {
    for (let left = this.sourcesToTell.length; left > 0; left--) {
      this.sourcesToTell.shift()?.batchDone();
    }
  }

  private fenceChanged(): void {
    this.volume.kick();
    this.batchEnded();
  }

  /**
   * Also all sources were told. While paused or standing still, requests that are held do not
   * count: they wait for its end.
   */
  private isIdle(): boolean {
    if (this.isTurnAskedFor || this.startedCount > 0) return false;
    return this.isPaused || this.isStandingStill || this.held.first === null;
  }

  private async standStill(): Promise<void> {
    this.isStandingStill = true;
    try {
      await this.idle();
    } catch (error) {
      this.goOn();
      throw error;
    }
  }

  private goOn(): void {
    this.isStandingStill = false;
    this.startHeld();
    this.batchEnded();
  }

  private async idle(): Promise<void> {
    if (this.isIdle()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.whenIdle = this.whenIdle.filter((waiting) => waiting !== idle);
        reject(
          new TapdiskError(
            'DRAIN_TIMEOUT',
            `${this.startedCount} requests are still in flight after ${DRAIN_TIMEOUT_MS / 1000} s; ${this.whatHolds()}, then try again`,
            { transient: true },
          ),
        );
      }, DRAIN_TIMEOUT_MS);
      const idle = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.whenIdle.push(idle);
    });
  }

  private whatHolds(): string {
    if (this.fence === null || this.fence.look() === FENCE_OPEN) return 'see what holds the store';
    return 'the right to the volume is not confirmed, so see that the cluster is reached';
  }
}
