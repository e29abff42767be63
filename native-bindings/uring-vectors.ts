/** The struct iovec arrays of an io_uring's transfers of several pieces. */
import type { Addon } from './addon';
import { URING_PIECES_MAX, URING_VECTORS } from './limits';
import * as layout from './uring-layout';

const HALF = 2 ** 32;
const VECTOR_WORDS = layout.IOVEC_BYTES / Uint32Array.BYTES_PER_ELEMENT;

/**
 * One table, filled from the front. The kernel has read an array when it has taken its entry
 * (IORING_FEAT_SUBMIT_STABLE), so the table is empty again whenever every entry was taken.
 */
export class UringVectors {
  private readonly words = new Uint32Array(URING_VECTORS * VECTOR_WORDS);
  private readonly address: number;
  /** Vectors of arrays that are in entries, and of the one being made. */
  private used = 0;
  private begun = 0;

  constructor(native: Addon) {
    this.address = native.addressOf(new Uint8Array(this.words.buffer));
  }

  /** Whether an array of URING_PIECES_MAX can be begun; `untaken` entries may use the table. */
  hasRoom(untaken: number): boolean {
    if (untaken === 0 && this.begun === 0) this.used = 0;
    return this.used + URING_PIECES_MAX <= URING_VECTORS;
  }

  /** Adds a vector to the array being made. */
  add(address: number, lengthBytes: number): void {
    const at = (this.used + this.begun++) * VECTOR_WORDS;
    this.words[at] = address;
    this.words[at + 1] = address / HALF;
    this.words[at + 2] = lengthBytes;
  }

  /** Vectors of the array being made, and where it begins. */
  get count(): number {
    return this.begun;
  }

  get arrayAddress(): number {
    return this.address + this.used * layout.IOVEC_BYTES;
  }

  /** The array is in an entry now; the next vector begins another. */
  finish(): void {
    this.used += this.begun;
    this.begun = 0;
  }
}
