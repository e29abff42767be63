/** What a replay is asked for, and what it tells in the end. */
import type { Mismatch } from './mismatch';
import type { OperationName, OperationSummary } from './replay-statistics';

export interface ReplayOptions {
  /** Requests in flight at most; the ring may allow fewer. */
  readonly depth: number;
  /** 'full': as fast as the ring takes them; else a factor of the recorded speed. */
  readonly speed: 'full' | number;
  /** Requests of the trace to leave out at its beginning. */
  readonly skip: number;
  /** Requests of the trace to replay at most. */
  readonly count: number;
  /** Passes through the trace. */
  readonly loops: number;
  /** Flush at the end, so that everything written outlives the back end. */
  readonly finalFlush: boolean;
  /** How long no answer may come, with requests in flight, before the back end counts as gone. */
  readonly answerTimeoutMs: number;
  /** How long to wait for another back end when one is gone; 0: not at all. */
  readonly reconnectTimeoutMs: number;
}

export interface ReplayProgress {
  /** Requests of the trace, from its beginning, that are answered without a gap. */
  readonly position: number;
  readonly mismatches: number;
  readonly inFlight: number;
}

export interface ReplayResult {
  /** 'done': all that was asked for. 'back-end-gone': `goneReason` says why. */
  readonly end: 'done' | 'stopped' | 'back-end-gone';
  readonly goneReason: string | null;
  /** Requests of the trace, from its beginning, that are answered: where a resumed replay begins. */
  readonly position: number;
  readonly depth: number;
  readonly elapsedMs: number;
  readonly requestsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Of all ring requests together. */
  readonly total: OperationSummary;
  readonly operations: Partial<Record<OperationName, OperationSummary>>;
  /** Sectors that did not hold what they must. */
  readonly mismatches: number;
  /** The first of them. */
  readonly mismatchSamples: readonly Mismatch[];
  readonly sectorsVerified: number;
  /** Sectors whose content was taken as given when it was first read. */
  readonly sectorsLearned: number;
  /** Times that a request had to wait for one that it overlaps. */
  readonly conflictsWaited: number;
  /** Requests that the recorded disk had refused too, and this one cannot take. */
  readonly skipped: number;
  /** Times that another back end took over. */
  readonly backEndsReplaced: number;
}
