/** Where replayed requests come from: a trace of any known kind. */
import type { EndReason, PayloadMode } from './format';
import type { TraceBatch } from './trace-batch';

/** What is known of a trace as a whole. */
export interface TraceSummary {
  /** Number of requests. */
  readonly requests: number;
  /** A disk must have at least this many sectors for the trace to be replayed on it. */
  readonly sectorsNeeded: number;
  /** Size of the disk that it was recorded on, or null where the trace does not tell. */
  readonly diskSectors: number | null;
  readonly payload: PayloadMode;
  /** Wall-clock start in ms since 1970, or null where the trace does not tell. */
  readonly startedAtMs: number | null;
  readonly endReason: EndReason;
}

export interface TraceSource {
  readonly path: string;
  readonly kind: 'tapdisk-ts' | 'blkreplay';
  /**
   * Reads what the trace says of itself, or scans it where it says nothing.
   * @throws TapdiskError as `batches`
   */
  summary(): Promise<TraceSummary>;
  /**
   * The requests, one batch at a time in memory. May be called again for another pass.
   * @param skip requests to leave out at the beginning.
   * @throws TapdiskError TRACE_CORRUPT, TRACE_TRUNCATED, TRACE_BAD_LINE, TRACE_READ_FAILED where
   *   the trace breaks, after all that was sound before it.
   */
  batches(skip?: number): AsyncIterable<TraceBatch>;
}
