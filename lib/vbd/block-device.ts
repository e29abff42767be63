/** What a front end needs of a VBD. */
import type { VbdRequest } from './request';

/** The request side of one virtual block device. */
export interface BlockDevice {
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Bytes of the smallest piece whose discard gives space back. */
  readonly discardGranularityBytes: number;

  /** A free request from the VBD's pool, or null at its limit: then stop taking from the ring. */
  acquire(): VbdRequest | null;

  /**
   * Takes a filled request; `request.source` hears of its end, once. Bad ones (beyond the end,
   * write on a read-only disk, …) end with STATUS_ERROR or STATUS_EOPNOTSUPP like any other.
   * Completions come from `kick` or later, never from inside `submit`.
   */
  submit(request: VbdRequest): void;

  /** Hands the batch over. */
  kick(): void;

  /** Gives a done (or never submitted) request back to the pool. */
  release(request: VbdRequest): void;
}
