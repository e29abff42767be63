/** What a replay drives: the front end's side of a ring, or a stand-in for it in tests. */
import { REQUEST_READ } from '../vbd/request';
import { SEGMENTS_MAX } from './limits';

/** Operations of a ring; a barrier and a flush may carry segments or none. */
export type ReplayOperation = 0 | 1 | 2 | 3 | 5;

/** One request on its way to the ring: flat, one for each slot, reused. */
export class ReplayRequest {
  /** REQUEST_READ, _WRITE, _BARRIER, _FLUSH or _DISCARD. */
  operation: ReplayOperation = REQUEST_READ;
  sector = 0;
  /** Sectors: the sum of the segments, or a discard's extent. */
  sectorCount = 0;
  segmentCount = 0;
  /** Segment i lies in page i of the slot, from sector segmentFirst[i] to segmentLast[i]. */
  readonly segmentFirst = new Uint8Array(SEGMENTS_MAX);
  readonly segmentLast = new Uint8Array(SEGMENTS_MAX);

  constructor(readonly slot: number) {}
}

/** Who is told of answers. */
export interface ReplayListener {
  /** Once for each submitted request, by its slot, with blkif.h's BLKIF_RSP_*. */
  requestAnswered(slot: number, status: number): void;
  /** After a batch of answers. */
  batchAnswered(): void;
  /** Another back end serves the ring; `resubmit` sends it what is unanswered. */
  backEndReplaced(): void;
}

export interface ReplayTarget {
  /** Size of the disk. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Requests that can be in flight: slots are numbered from 0 to slots - 1. */
  readonly slots: number;
  /** Most sectors of one read or write, a multiple of a page's 8. */
  readonly sectorsMax: number;
  /** Whether a request's segments may be of any shape; else they are packed from sector 0. */
  readonly takesShapes: boolean;
  /** To be set before the first submit. Answers come from `kick`, `poll` or later. */
  listener: ReplayListener | null;

  /** The memory of a slot: its pages one after another. */
  slotWords(slot: number): Int32Array;
  /** Puts a request on the ring; its slot must be free. */
  submit(request: ReplayRequest): void;
  /** Hands over what was submitted. */
  kick(): void;
  /** Takes what answers there are, without being told of them. */
  poll(): void;
  /** Sends all unanswered requests again; only after `backEndReplaced`. */
  resubmit(): void;
  /** Why no further answer can come, or null. May look at processes and files. */
  backEndGone(): string | null;
  /** Ends the use of the target. */
  close(): Promise<void>;
}
