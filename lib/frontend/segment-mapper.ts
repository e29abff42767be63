/** From a request's segments to the pieces of memory they name. */
import { assert } from '../assert';
// Not from the room's index, which makes each use of a constant a call.
import { PAGE_BYTES, SECTOR_BYTES } from '../ring/layout';
import type { RingRequest } from '../ring/ring-request';
import type { MemoryArea } from '../store/memory-area';
import type { VbdRequest } from '../vbd/request';

const PAGE_WORDS = PAGE_BYTES / Int32Array.BYTES_PER_ELEMENT;

/** How a ring's segments name memory; grants do it differently from data pages. */
export interface SegmentMapper {
  /**
   * Sets a request's memory and runs from segments that passed checkRequest; neighbours become
   * one run. False: a segment names memory that is not there; answer ERROR.
   */
  map(from: RingRequest, to: VbdRequest): boolean;

  /**
   * Takes an indirect request's `count` segments (1 to 256) out of the page that holds them.
   * False: there is no such page.
   */
  takeIndirectSegments(request: RingRequest, count: number): boolean;
}

export interface DataPages {
  readonly memory: MemoryArea;
  /** Where in `memory` data page 0 begins, bytes; a multiple of 4. */
  readonly offset: number;
  readonly pages: number;
  readonly pagesPerSlot: number;
  /**
   * 'slot', as in the blktap kernel: page of segment s of request id r is r * pagesPerSlot + s.
   * 'page': the segment's gref is the page's number.
   */
  readonly addressing: 'slot' | 'page';
}

/** Segments that lie in data pages beside the ring: blktap's, and the stand-in's. */
export class DataPageMapper implements SegmentMapper {
  private readonly bySlot: boolean;
  /** The data area in words of 4 bytes, to take indirect segments out of. */
  private readonly words: Int32Array;

  constructor(private readonly area: DataPages) {
    const { memory, offset, pages } = area;
    assert(offset + pages * PAGE_BYTES <= memory.bytes.length, 'the data pages lie in the mapping');
    const start = memory.bytes.byteOffset + offset;
    assert(start % Int32Array.BYTES_PER_ELEMENT === 0, 'data pages begin at a word');
    this.words = new Int32Array(memory.bytes.buffer, start, pages * PAGE_WORDS);
    this.bySlot = area.addressing === 'slot';
  }

  map(from: RingRequest, to: VbdRequest): boolean {
    const { memory, offset, pages, pagesPerSlot } = this.area;
    const { gref, firstSect, lastSect, segmentCount } = from;
    const { runOffsets, runLengths } = to;
    const slotPage = from.idLow * pagesPerSlot;
    const { bySlot } = this;
    let runs = 0;
    let start = 0;
    let end = -1;
    for (let segment = 0; segment < segmentCount; segment++) {
      const page = bySlot ? slotPage + segment : gref[segment];
      if (page >= pages) return false;
      const pageOffset = offset + page * PAGE_BYTES;
      const at = pageOffset + firstSect[segment] * SECTOR_BYTES;
      // A run is written down when it is over: most large requests are one.
      if (at !== end) {
        if (end >= 0) {
          runOffsets[runs] = start;
          runLengths[runs++] = end - start;
        }
        start = at;
      }
      end = pageOffset + (lastSect[segment] + 1) * SECTOR_BYTES;
    }
    if (end >= 0) {
      runOffsets[runs] = start;
      runLengths[runs++] = end - start;
    }
    to.memory = memory;
    to.runCount = runs;
    return true;
  }

  takeIndirectSegments(request: RingRequest, count: number): boolean {
    const page = request.indirectGrefs[0];
    if (page >= this.area.pages) return false;
    request.decodeIndirectSegments(this.words, page * PAGE_WORDS, count);
    return true;
  }
}
