/** What a VBD counts: requests, sectors, errors and latencies, by operation. */
import { LATENCY_CLASSES } from './limits';
import {
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  type RequestOperation,
  STATUS_OKAY,
  type VbdRequest,
} from './request';

const LATENCY_US_MAX = 2 ** LATENCY_CLASSES - 1;

export const OPERATION_NAMES = ['read', 'write', 'flush', 'discard'] as const;
export type OperationName = (typeof OPERATION_NAMES)[number];

/** Counters of one operation. */
export interface OperationCounters {
  readonly requests: number;
  readonly sectors: number;
  readonly errors: number;
  /** Upper bounds of the latency class at the percentile, in µs; 0 without requests. */
  readonly latencyUsP50: number;
  readonly latencyUsP99: number;
  readonly latencyUsMax: number;
}

class Counters {
  requests = 0;
  sectors = 0;
  errors = 0;
  latencyUsMax = 0;
  private readonly classes = new Float64Array(LATENCY_CLASSES + 1);

  add(request: VbdRequest, latencyUs: number): void {
    this.requests++;
    this.sectors += request.sectorCount;
    if (request.status !== STATUS_OKAY) this.errors++;
    if (latencyUs > this.latencyUsMax) this.latencyUsMax = latencyUs;
    // clz32 takes 32 bits and would begin anew above.
    this.classes[LATENCY_CLASSES - Math.clz32(Math.min(latencyUs, LATENCY_US_MAX))]++;
  }

  snapshot(): OperationCounters {
    return {
      requests: this.requests,
      sectors: this.sectors,
      errors: this.errors,
      latencyUsP50: this.percentile(0.5),
      latencyUsP99: this.percentile(0.99),
      latencyUsMax: Math.round(this.latencyUsMax),
    };
  }

  private percentile(fraction: number): number {
    let left = this.requests * fraction;
    if (left === 0) return 0;
    for (let i = 0; i <= LATENCY_CLASSES; i++) {
      left -= this.classes[i];
      if (left <= 0) return Math.min(2 ** i, Math.ceil(this.latencyUsMax));
    }
    return Math.round(this.latencyUsMax);
  }
}

const READ = 0;
const WRITE = 1;
const FLUSH = 2;
const DISCARD = 3;

function counterOf(operation: RequestOperation): number {
  switch (operation) {
    case REQUEST_READ:
      return READ;
    case REQUEST_FLUSH:
      return FLUSH;
    case REQUEST_DISCARD:
      return DISCARD;
    default:
      return WRITE;
  }
}

export class VbdStatistics {
  private readonly counters = OPERATION_NAMES.map(() => new Counters());

  add(request: VbdRequest, latencyUs: number): void {
    this.counters[counterOf(request.operation)].add(request, latencyUs);
  }

  snapshot(): Readonly<Record<OperationName, OperationCounters>> {
    const [read, write, flush, discard] = this.counters.map((counter) => counter.snapshot());
    return { read, write, flush, discard };
  }
}
