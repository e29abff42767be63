/** Copies between granted pages of a guest and our own memory, as gntdev's GRANT_COPY takes them. */
import { assert } from '../lib/assert';

/** struct ioctl_gntdev_grant_copy: u32 count, padding, pointer to the segments. */
const HEADER_BYTES = 16;
const HEADER_WORDS = HEADER_BYTES / 4;
/** struct gntdev_grant_copy_segment: source, dest (8 bytes each), u16 len, u16 flags, i16 status. */
export const COPY_SEGMENT_BYTES = 24;
const SEGMENT_WORDS = COPY_SEGMENT_BYTES / 4;
const GRANT_PAGE_BYTES = 4096;
const TWO_TO_32 = 2 ** 32;

/** Flags of a segment: which side is a grant reference. */
export const GNTCOPY_SOURCE_GREF = 1;
export const GNTCOPY_DEST_GREF = 2;

/** GNTST_okay of xen/include/public/grant_table.h; every other status is negative. */
export const GNTST_OKAY = 0;
export const GNTST_BAD_GNTREF = -3;

/**
 * Filled, handed to `GrantDevice.copy`, read for its statuses, cleared, and filled again. A segment
 * lies within one page of the guest's; of ours it may cross pages. Nothing is allocated.
 */
export class GrantCopyBatch {
  /** Segments in it. */
  count = 0;
  /** The argument of the ioctl: header and segments in one piece, which never moves. */
  readonly argument: Buffer;
  private readonly words: Int32Array;

  /** Addresses of our own memory are virtual ones of this process. */
  constructor(
    readonly domid: number,
    readonly segmentsMax: number,
    addressOf: (bytes: Buffer) => number,
  ) {
    const memory = new ArrayBuffer(HEADER_BYTES + segmentsMax * COPY_SEGMENT_BYTES);
    this.argument = Buffer.from(memory);
    this.words = new Int32Array(memory);
    const segments = addressOf(this.argument) + HEADER_BYTES;
    this.argument.writeBigUInt64LE(BigInt(segments), 8);
  }

  get isFull(): boolean {
    return this.count === this.segmentsMax;
  }

  clear(): void {
    this.count = 0;
    this.words[0] = 0;
  }

  /** From the guest's page to us; returns the segment's number, to ask for its status. */
  fetch(ref: number, pageOffset: number, address: number, lengthBytes: number): number {
    const at = this.begin(pageOffset, lengthBytes);
    this.setGrant(at, ref, pageOffset);
    this.setLocal(at + 2, address);
    this.words[at + 4] = lengthBytes | (GNTCOPY_SOURCE_GREF << 16);
    return this.count - 1;
  }

  /** From us to the guest's page. */
  deliver(ref: number, pageOffset: number, address: number, lengthBytes: number): number {
    const at = this.begin(pageOffset, lengthBytes);
    this.setLocal(at, address);
    this.setGrant(at + 2, ref, pageOffset);
    this.words[at + 4] = lengthBytes | (GNTCOPY_DEST_GREF << 16);
    return this.count - 1;
  }

  /** GNTST_*: 0, or negative where that segment was not copied. */
  status(segment: number): number {
    assert(segment < this.count, 'the status of a segment in the batch');
    return (this.words[HEADER_WORDS + segment * SEGMENT_WORDS + 5] << 16) >> 16;
  }

  private begin(pageOffset: number, lengthBytes: number): number {
    assert(this.count < this.segmentsMax, 'a batch of copies has room');
    assert(
      lengthBytes > 0 && pageOffset >= 0 && pageOffset + lengthBytes <= GRANT_PAGE_BYTES,
      'a copy lies within one granted page',
    );
    const at = HEADER_WORDS + this.count * SEGMENT_WORDS;
    this.count++;
    this.words[0] = this.count;
    this.words[at + 5] = GNTST_OKAY;
    return at;
  }

  private setGrant(at: number, ref: number, pageOffset: number): void {
    this.words[at] = ref;
    this.words[at + 1] = pageOffset | (this.domid << 16);
  }

  private setLocal(at: number, address: number): void {
    this.words[at] = address % TWO_TO_32;
    this.words[at + 1] = Math.floor(address / TWO_TO_32);
  }
}
