/** A block request inside a VBD: flat, pooled, without anything of the ring it came from. */
import type { MemoryArea } from '../store/memory-area';

export const REQUEST_READ = 0;
export const REQUEST_WRITE = 1;
/** Write with 0 or more segments: all earlier requests first, on disk before and after. */
export const REQUEST_BARRIER = 2;
/** Everything acknowledged so far survives a power cut; with segments, then write them. */
export const REQUEST_FLUSH = 3;
export const REQUEST_DISCARD = 5;
/** Like a discard, but the range reads as zeros afterwards, always. */
export const REQUEST_WRITE_ZEROES = 64;

export type RequestOperation =
  | typeof REQUEST_READ
  | typeof REQUEST_WRITE
  | typeof REQUEST_BARRIER
  | typeof REQUEST_FLUSH
  | typeof REQUEST_DISCARD
  | typeof REQUEST_WRITE_ZEROES;

/** Outcomes, as blkif.h's BLKIF_RSP_*. */
export const STATUS_OKAY = 0;
export const STATUS_ERROR = -1;
export const STATUS_EOPNOTSUPP = -2;

/** Most memory runs a request can have: the segments of an indirect request. */
export const REQUEST_RUNS_MAX = 256;

/** Where a request came from and its answer goes. */
export interface RequestSource {
  /** Called once for each submitted request, when its status is set. May submit further ones. */
  requestDone(request: VbdRequest): void;
  /** Called after a batch of completions: the place for one push and one kick. */
  batchDone(): void;
}

/** A request. Its memory runs are contiguous pieces of `memory`, in the order of the sectors. */
export class VbdRequest {
  operation: RequestOperation = REQUEST_READ;
  /** First sector (512 bytes); a safe integer. */
  sector = 0;
  /** Sectors: the sum of the runs, or a discard's extent. */
  sectorCount = 0;
  /** Write only: on disk before it is acknowledged (NBD's FUA). */
  forceUnitAccess = false;
  memory!: MemoryArea;
  runCount = 0;
  readonly runOffsets = new Float64Array(REQUEST_RUNS_MAX);
  readonly runLengths = new Uint32Array(REQUEST_RUNS_MAX);
  /** STATUS_*, valid once done. */
  status = STATUS_OKAY;
  /** errno behind a STATUS_ERROR, 0 otherwise. */
  errno = 0;

  /** The source's own: what its ring or socket needs for the answer. */
  source!: RequestSource;
  idLow = 0;
  idHigh = 0;
  wireOperation = 0;
  journalEntry = 0;
  ringIndex = 0;

  /** The VBD's own. */
  slot = 0;
  pending = 0;
  startedAtUs = 0;
  next: VbdRequest | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }
}
