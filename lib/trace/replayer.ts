/**
 * Drives a ring with the requests of a trace, and checks every read against what was written.
 *
 * One request of a trace may become several on the ring. A request that overlaps one in flight,
 * one of the two writing, waits for it, and so do those behind it: a disk promises nothing else.
 */
import { assert } from '../assert';
import { REQUEST_FLUSH, REQUEST_READ, STATUS_OKAY } from '../vbd/request';
import type { DiskModel } from './disk-model';
import { InFlightRanges } from './in-flight-ranges';
import { MISMATCHES_DESCRIBED_MAX, REPLAY_DEPTH_MAX, REPLAY_WATCH_INTERVAL_MS } from './limits';
import type { Mismatch } from './mismatch';
import { checkAnswer, prepareData } from './replay-data';
import type { ReplayOptions, ReplayProgress, ReplayResult } from './replay-result';
import { ReplayStatistics } from './replay-statistics';
import { ReplayRequest, type ReplayListener, type ReplayTarget } from './replay-target';
import { RequestFeed } from './request-feed';
import { RequestSplitter } from './request-splitter';
import type { TraceSource } from './trace-source';

export class Replayer implements ReplayListener {
  readonly depth: number;
  private readonly statistics = new ReplayStatistics();
  private readonly feed: RequestFeed;
  private readonly splitter: RequestSplitter;
  private readonly ranges: InFlightRanges;

  private readonly requests: ReplayRequest[] = [];
  /** Number in the trace of the request that occupies a slot; -1: the slot is free. */
  private readonly traceNumber: Float64Array;
  private readonly submittedAtMs: Float64Array;
  private readonly freeSlots: number[] = [];
  private inFlight = 0;

  private startedAtMs = 0;
  /** When the last answer came, or the first request went out after none was in flight. */
  private lastSignAtMs = 0;
  private goneAtMs = 0;
  /** The pass that is being timed, the recorded time at which it began, and our own. */
  private timedPass = -1;
  private passTimeUs = 0;
  private passStartedAtMs = 0;
  private conflictsWaited = 0;
  private headWaited = false;
  private mismatches = 0;
  private readonly samples: Mismatch[] = [];
  private replacements = 0;
  private readonly verifiedBefore: number;
  private readonly learnedBefore: number;

  private pumping = false;
  private pumpAgain = false;
  private dueTimer: NodeJS.Timeout | null = null;
  private watchTimer: NodeJS.Timeout | null = null;
  private flushing = false;
  private stopped = false;
  private failure: unknown = null;
  private finished: ((result: ReplayResult) => void) | null = null;
  private failed: ((error: unknown) => void) | null = null;

  constructor(
    private readonly target: ReplayTarget,
    source: Pick<TraceSource, 'batches'>,
    private readonly model: DiskModel,
    private readonly options: ReplayOptions,
  ) {
    assert(model.options.sectors === target.sectors, 'the model is of this disk');
    this.depth = Math.min(options.depth, target.slots, REPLAY_DEPTH_MAX);
    this.traceNumber = new Float64Array(this.depth).fill(-1);
    this.submittedAtMs = new Float64Array(this.depth);
    this.ranges = new InFlightRanges(this.depth);
    for (let slot = this.depth - 1; slot >= 0; slot--) {
      this.freeSlots.push(slot);
      this.requests[slot] = new ReplayRequest(slot);
    }
    this.splitter = new RequestSplitter(target);
    this.feed = new RequestFeed(source, options, () => this.pump());
    this.verifiedBefore = model.sectorsVerified;
    this.learnedBefore = model.sectorsLearned;
    target.listener = this;
  }

  /**
   * Resolves when all requests are answered, `stop` was called, or the back end is gone for good:
   * `result.end` tells which.
   * @throws TapdiskError where the trace breaks or does not fit the disk; what was in flight has
   *   been answered by then.
   */
  run(): Promise<ReplayResult> {
    return new Promise((resolve, reject) => {
      this.finished = resolve;
      this.failed = reject;
      this.startedAtMs = performance.now();
      this.lastSignAtMs = this.startedAtMs;
      this.watchTimer = setInterval(() => this.watch(), REPLAY_WATCH_INTERVAL_MS);
      this.pump();
    });
  }

  /** Sends no further requests; `run` resolves once those in flight are answered. */
  stop(): void {
    this.stopped = true;
    this.feed.stop();
    this.pump();
  }

  progress(): ReplayProgress {
    return { position: this.position(), mismatches: this.mismatches, inFlight: this.inFlight };
  }

  requestAnswered(slot: number, status: number): void {
    if (this.finished === null) return;
    assert(this.traceNumber[slot] !== -1, 'an answered slot is in flight');
    const request = this.requests[slot];
    const nowMs = performance.now();
    this.lastSignAtMs = nowMs;
    const latencyMs = nowMs - this.submittedAtMs[slot];
    this.statistics.answered(request.operation, request.sectorCount, status, latencyMs);
    if (request.operation !== REQUEST_READ) this.model.ended(slot, status);
    else if (status === STATUS_OKAY) this.checkRead(request);
    this.ranges.remove(slot);
    this.traceNumber[slot] = -1;
    this.freeSlots.push(slot);
    this.inFlight--;
  }

  batchAnswered(): void {
    this.pump();
  }

  backEndReplaced(): void {
    if (this.finished === null || this.options.reconnectTimeoutMs === 0) return;
    this.replacements++;
    this.goneAtMs = 0;
    this.lastSignAtMs = performance.now();
    this.model.backEndReplaced();
    this.target.resubmit();
    this.pump();
  }

  private pump(): void {
    if (this.finished === null) return;
    if (this.pumping) {
      this.pumpAgain = true;
      return;
    }
    this.pumping = true;
    try {
      do {
        this.pumpAgain = false;
        this.submitSome();
      } while (this.pumpAgain);
    } catch (error) {
      this.failure ??= error;
      this.feed.stop();
    } finally {
      this.pumping = false;
    }
    this.endIfDone();
  }

  /** Submits what may go out now, and hands it over even where a later request is refused. */
  private submitSome(): void {
    let submitted = false;
    try {
      while (this.freeSlots.length > 0 && this.goneAtMs === 0 && this.nextPiece()) {
        if (this.headMustWait()) break;
        this.submitPiece(this.freeSlots.pop() as number);
        submitted = true;
      }
    } finally {
      if (submitted) this.target.kick();
    }
  }

  private headMustWait(): boolean {
    const { sector, sectorCount, writes } = this.splitter;
    const waits = this.ranges.conflicts(sector, sectorCount, writes);
    if (waits && !this.headWaited) this.conflictsWaited++;
    this.headWaited = waits;
    return waits;
  }

  /** Makes the splitter hold the next ring request; false where none is due now. */
  private nextPiece(): boolean {
    const { feed, splitter } = this;
    while (!splitter.active) {
      if (feed.batch === null) return false;
      if (!this.isDue(feed.batch.timeUs[feed.index])) return false;
      splitter.begin(feed.batch, feed.index, feed.position);
      this.headWaited = false;
      feed.advance();
    }
    return true;
  }

  /** At recorded speed, arms a timer for a request whose time has not come. */
  private isDue(timeUs: number): boolean {
    if (this.options.speed === 'full') return true;
    if (this.timedPass !== this.feed.pass) {
      this.timedPass = this.feed.pass;
      this.passTimeUs = timeUs;
      this.passStartedAtMs = performance.now();
    }
    const dueAtMs = this.passStartedAtMs + (timeUs - this.passTimeUs) / 1000 / this.options.speed;
    const waitMs = dueAtMs - performance.now();
    if (waitMs <= 0) return true;
    this.dueTimer ??= setTimeout(() => {
      this.dueTimer = null;
      this.pump();
    }, waitMs);
    return false;
  }

  private submitPiece(slot: number): void {
    const request = this.requests[slot];
    const { splitter } = this;
    this.traceNumber[slot] = splitter.traceNumber;
    const { payload, writes } = splitter;
    splitter.take(request);
    prepareData(request, payload, this.target.slotWords(slot), this.model);
    this.ranges.add(slot, request.sector, request.sectorCount, writes);
    this.submit(request);
  }

  private submit(request: ReplayRequest): void {
    const nowMs = performance.now();
    if (this.inFlight === 0) this.lastSignAtMs = nowMs;
    this.inFlight++;
    this.submittedAtMs[request.slot] = nowMs;
    this.target.submit(request);
  }

  private checkRead(request: ReplayRequest): void {
    this.mismatches += checkAnswer(
      request,
      this.target.slotWords(request.slot),
      this.model,
      (mismatch) => {
        if (this.samples.length < MISMATCHES_DESCRIBED_MAX) this.samples.push(mismatch);
      },
    );
  }

  private endIfDone(): void {
    if (this.finished === null || this.inFlight > 0) return;
    if (!this.feed.ended || (this.splitter.active && this.failure === null)) return;
    const failure = this.failure ?? this.feed.failure;
    if (failure !== null) {
      this.fail(failure);
    } else if (this.options.finalFlush && !this.flushing && !this.target.readOnly) {
      this.submitFinalFlush();
    } else {
      this.finish(this.stopped ? 'stopped' : 'done', null);
    }
  }

  private submitFinalFlush(): void {
    this.flushing = true;
    const slot = this.freeSlots.pop() as number;
    const request = this.requests[slot];
    request.operation = REQUEST_FLUSH;
    request.sector = 0;
    request.sectorCount = 0;
    request.segmentCount = 0;
    this.traceNumber[slot] = this.feed.position;
    this.model.flushStarted(slot);
    this.submit(request);
    this.target.kick();
  }

  /** Looks whether answers can still come. */
  private watch(): void {
    this.target.poll();
    if (this.finished === null) return;
    const nowMs = performance.now();
    const waiting = this.inFlight > 0 || this.goneAtMs > 0;
    const silent = waiting && nowMs - this.lastSignAtMs > this.options.answerTimeoutMs;
    const gone =
      this.target.backEndGone() ??
      (silent ? `it has not answered for ${this.options.answerTimeoutMs} ms` : null);
    if (gone === null) return;
    if (this.goneAtMs === 0) this.goneAtMs = nowMs;
    if (nowMs - this.goneAtMs < this.options.reconnectTimeoutMs) return;
    this.model.crashed();
    this.finish('back-end-gone', gone);
  }

  /** The lowest number of a request of the trace that is not answered whole. */
  private position(): number {
    let position = this.splitter.active ? this.splitter.traceNumber : this.feed.position;
    for (const number of this.traceNumber) {
      if (number >= 0 && number < position) position = number;
    }
    return position;
  }

  private finish(end: ReplayResult['end'], goneReason: string | null): void {
    const result = this.resultOf(end, goneReason);
    const { finished } = this;
    this.cleanUp();
    finished?.(result);
  }

  private fail(error: unknown): void {
    const { failed } = this;
    this.cleanUp();
    failed?.(error);
  }

  private resultOf(end: ReplayResult['end'], goneReason: string | null): ReplayResult {
    const elapsedMs = performance.now() - this.startedAtMs;
    const total = this.statistics.summary();
    const perSecond = (amount: number): number => Math.round((amount / elapsedMs) * 1000);
    return {
      end,
      goneReason,
      position: this.position(),
      depth: this.depth,
      elapsedMs: Math.round(elapsedMs),
      requestsPerSecond: perSecond(total.requests),
      bytesPerSecond: perSecond(total.bytes),
      total,
      operations: this.statistics.operations(),
      mismatches: this.mismatches,
      mismatchSamples: this.samples,
      sectorsVerified: this.model.sectorsVerified - this.verifiedBefore,
      sectorsLearned: this.model.sectorsLearned - this.learnedBefore,
      conflictsWaited: this.conflictsWaited,
      skipped: this.splitter.skipped,
      backEndsReplaced: this.replacements,
    };
  }

  private cleanUp(): void {
    this.feed.stop();
    if (this.watchTimer !== null) clearInterval(this.watchTimer);
    if (this.dueTimer !== null) clearTimeout(this.dueTimer);
    this.finished = null;
    this.failed = null;
  }
}
