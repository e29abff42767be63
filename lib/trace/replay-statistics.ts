/** What a replay counts and times, and how it is told. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { SECTOR_BYTES } from '../sector';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  STATUS_EOPNOTSUPP,
  STATUS_OKAY,
} from '../vbd/request';

/** Latencies from the submission to the answer, in µs. */
export interface LatencySummary {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface OperationSummary {
  /** Ring requests that were answered. */
  readonly requests: number;
  readonly bytes: number;
  readonly errors: number;
  /** Answered EOPNOTSUPP: the back end does not do this operation. */
  readonly unsupported: number;
  readonly latencyUs: LatencySummary;
}

export type OperationName = 'read' | 'write' | 'barrier' | 'flush' | 'discard';

const NAMES: readonly (readonly [number, OperationName])[] = [
  [REQUEST_READ, 'read'],
  [REQUEST_WRITE, 'write'],
  [REQUEST_BARRIER, 'barrier'],
  [REQUEST_FLUSH, 'flush'],
  [REQUEST_DISCARD, 'discard'],
];

/** Nanoseconds; longer latencies are counted as this. One hour. */
const LATENCY_NS_MAX = 3_600_000_000_000;

class Counts {
  requests = 0;
  sectors = 0;
  errors = 0;
  unsupported = 0;
  readonly latencyNs = newHistogram();
}

export class ReplayStatistics {
  readonly total = new Counts();
  private readonly byOperation = new Map(NAMES.map(([operation]) => [operation, new Counts()]));

  answered(operation: number, sectors: number, status: number, latencyMs: number): void {
    const counts = this.byOperation.get(operation) as Counts;
    const moved = operation === REQUEST_DISCARD ? 0 : sectors;
    const latencyNs = Math.min(LATENCY_NS_MAX, Math.max(1, Math.round(latencyMs * 1e6)));
    add(counts, moved, status, latencyNs);
    add(this.total, moved, status, latencyNs);
  }

  summary(): OperationSummary {
    return summarize(this.total);
  }

  /** Of the operations that occurred. */
  operations(): Partial<Record<OperationName, OperationSummary>> {
    const summaries: Partial<Record<OperationName, OperationSummary>> = {};
    for (const [operation, name] of NAMES) {
      const counts = this.byOperation.get(operation) as Counts;
      if (counts.requests > 0) summaries[name] = summarize(counts);
    }
    return summaries;
  }
}

function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: LATENCY_NS_MAX, figures: 3 });
}

function add(counts: Counts, sectors: number, status: number, latencyNs: number): void {
  counts.requests++;
  counts.latencyNs.record(latencyNs);
  if (status === STATUS_OKAY) counts.sectors += sectors;
  else if (status === STATUS_EOPNOTSUPP) counts.unsupported++;
  else counts.errors++;
}

function summarize(counts: Counts): OperationSummary {
  return {
    requests: counts.requests,
    bytes: counts.sectors * SECTOR_BYTES,
    errors: counts.errors,
    unsupported: counts.unsupported,
    latencyUs: latencySummary(counts.latencyNs),
  };
}

function latencySummary(histogram: RecordableHistogram): LatencySummary {
  if (histogram.count === 0) return { mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
  const us = (ns: number): number => Math.round(ns / 100) / 10;
  return {
    mean: us(histogram.mean),
    p50: us(histogram.percentile(50)),
    p90: us(histogram.percentile(90)),
    p99: us(histogram.percentile(99)),
    p999: us(histogram.percentile(99.9)),
    max: us(histogram.max),
  };
}
