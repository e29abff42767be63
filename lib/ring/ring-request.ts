/** A block request as decoded from a ring: flat, and reused for the next one. */
import { assert } from '../assert';
import {
  INDIRECT_SEGMENTS_PER_PAGE,
  SEGMENT_BYTES,
  SEGMENT_FIRST_SECT_OFFSET,
  SEGMENT_LAST_SECT_OFFSET,
} from './layout';
import { INDIRECT_PAGES_MAX, INDIRECT_SEGMENTS_MAX } from './limits';
import { BLKIF_OP_READ } from './operations';

const SEGMENT_WORDS = SEGMENT_BYTES / Int32Array.BYTES_PER_ELEMENT;

assert(SEGMENT_FIRST_SECT_OFFSET === 4 && SEGMENT_LAST_SECT_OFFSET === 5, 'bytes of word 1');

/** Nothing in it is checked before `checkRequest` said so. */
export class RingRequest {
  /** BLKIF_OP_*, whatever the ABI numbers it, or OPERATION_UNKNOWN. */
  operation = BLKIF_OP_READ;
  /** The operation byte as it lay in the ring. */
  wireOperation = 0;
  /** The operation byte of the response: of an indirect request the inner one, as blkback does. */
  responseOperation = 0;
  /** As the producer said; u8, u16 if indirect; 0 for a discard. */
  nrSegments = 0;
  handle = 0;
  idLow = 0;
  idHigh = 0;
  /** Of a ring that has a journal: the entry that keeps this request until it is answered. */
  journalEntry = 0;
  /** First sector (512 bytes); the largest safe integer where `sectorOverflow`. */
  sector = 0;
  /** A discard's sectors; the largest safe integer where `sectorOverflow`. */
  nrSectors = 0;
  /** `sector` or `nrSectors` was above 2^53 - 1. */
  sectorOverflow = false;
  /** A discard's flags: BLKIF_DISCARD_SECURE. */
  discardFlag = 0;
  /** BLKIF_OP_* as the producer said, for an indirect request only. */
  indirectOperation = 0;
  /** The pages that hold an indirect request's segments. */
  readonly indirectGrefs = new Uint32Array(INDIRECT_PAGES_MAX);

  /** Segments in the arrays: at most 11, or, once an indirect page is decoded, at most 256. */
  segmentCount = 0;
  readonly gref = new Uint32Array(INDIRECT_SEGMENTS_MAX);
  readonly firstSect = new Uint8Array(INDIRECT_SEGMENTS_MAX);
  readonly lastSect = new Uint8Array(INDIRECT_SEGMENTS_MAX);

  /** Sectors that the request moves or discards: set by a `checkRequest` that found it fine. */
  totalSectors = 0;

  /**
   * Takes `count` segments (1 to 256, as `checkHeader` made sure) from the word `from` on. `words`
   * may be the guest's own page: each word of it is read once, into the copy that everything after
   * this looks at.
   */
  decodeIndirectSegments(words: Int32Array, from: number, count: number): void {
    assert(count >= 1 && count <= INDIRECT_SEGMENTS_MAX, 'indirect segments within their limit');
    assert(count <= INDIRECT_SEGMENTS_PER_PAGE, 'indirect segments are in one page');
    assert(from + count * SEGMENT_WORDS <= words.length, 'the indirect page holds the segments');
    const { gref, firstSect, lastSect } = this;
    for (let segment = 0, at = from; segment < count; segment++, at += SEGMENT_WORDS) {
      gref[segment] = words[at];
      const sects = words[at + 1];
      // Bytes 4 and 5 of a segment; the arrays keep the low eight bits.
      firstSect[segment] = sects;
      lastSect[segment] = sects >>> 8;
    }
    this.segmentCount = count;
  }

  /** Writes the segments as an indirect page holds them. */
  encodeIndirectSegments(bytes: Buffer): void {
    assert(bytes.length >= this.segmentCount * SEGMENT_BYTES, 'the indirect page has room');
    let offset = 0;
    for (let segment = 0; segment < this.segmentCount; segment++, offset += SEGMENT_BYTES) {
      bytes.writeUInt32LE(this.gref[segment], offset);
      bytes[offset + SEGMENT_FIRST_SECT_OFFSET] = this.firstSect[segment];
      bytes[offset + SEGMENT_LAST_SECT_OFFSET] = this.lastSect[segment];
      bytes.writeUInt16LE(0, offset + SEGMENT_LAST_SECT_OFFSET + 1);
    }
  }
}
