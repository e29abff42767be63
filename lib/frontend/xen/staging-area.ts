/** The disk's own memory that a guest's data passes through on its way to and from the store. */
import { assert } from '../../assert';
import { type Mapping, mapZeroed } from '../../../native-bindings/mapping';
// Not from the room's index, which makes each use of a constant a call.
import { PAGE_BYTES } from '../../ring/layout';
import type { MemoryArea } from '../../store/memory-area';
import type { VbdRequest } from '../../vbd/request';
import { STAGING_PAGES_MAX, STAGING_STEADY_PAGES } from '../limits';
import { PageRuns } from './page-runs';

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const PAGE_WORDS = PAGE_BYTES / WORD_BYTES;

/**
 * Two pieces of one mapping: the first is for everyday, and may be pinned; the second takes what is
 * beyond, and its pages cost nothing before they are used. Beside them lies one page that an
 * indirect request's segments are copied to.
 */
export class StagingArea {
  /** May be registered with an engine for as long as this is open. */
  readonly steadyMemory: readonly MemoryArea[];
  readonly indirectPage: MemoryArea;
  /** The same in words. */
  readonly indirectWords: Int32Array;
  private readonly mapping: Mapping;
  private readonly words: Int32Array;
  /** Page by page, as far as they were asked for: a copy takes no part of an array. */
  private readonly wordsOfPage: (Int32Array | undefined)[];
  private readonly parts: readonly { readonly memory: MemoryArea; readonly pages: PageRuns }[];

  constructor() {
    this.mapping = mapZeroed((STAGING_PAGES_MAX + 1) * PAGE_BYTES);
    const { buffer, byteOffset, length } = this.mapping.bytes;
    this.words = new Int32Array(buffer, byteOffset, length / WORD_BYTES);
    this.wordsOfPage = new Array<Int32Array | undefined>(STAGING_PAGES_MAX + 1);
    const overflowPages = STAGING_PAGES_MAX - STAGING_STEADY_PAGES;
    this.parts = [
      { memory: this.part(0, STAGING_STEADY_PAGES), pages: new PageRuns(STAGING_STEADY_PAGES) },
      {
        memory: this.part(STAGING_STEADY_PAGES, overflowPages),
        pages: new PageRuns(overflowPages),
      },
    ];
    this.steadyMemory = [this.parts[0].memory];
    this.indirectPage = this.part(STAGING_PAGES_MAX, 1);
    this.indirectWords = this.pageWords(STAGING_PAGES_MAX);
  }

  /** Whether `give` can follow for so many pages. */
  hasRoom(pages: number): boolean {
    return this.parts[0].pages.free >= pages || this.parts[1].pages.free >= pages;
  }

  /**
   * Gives a request the memory for so many bytes, from the beginning of a page: one run, or where
   * the free pages lie scattered, several, each of whole pages but the last.
   */
  give(request: VbdRequest, lengthBytes: number): void {
    const pages = Math.ceil(lengthBytes / PAGE_BYTES);
    const part = this.parts[0].pages.free >= pages ? this.parts[0] : this.parts[1];
    assert(part.pages.free >= pages, 'a request is given memory where there is room');
    request.memory = part.memory;
    request.runCount = 0;
    for (let left = lengthBytes; left > 0;) {
      const wanted = Math.ceil(left / PAGE_BYTES);
      const first = part.pages.takeFirst(wanted);
      const length = Math.min(part.pages.taken * PAGE_BYTES, left);
      request.runOffsets[request.runCount] = first * PAGE_BYTES;
      request.runLengths[request.runCount++] = length;
      left -= length;
    }
  }

  /** Takes back what `give` gave. */
  takeBack(request: VbdRequest): void {
    const part = request.memory === this.parts[0].memory ? this.parts[0] : this.parts[1];
    for (let run = 0; run < request.runCount; run++) {
      const pages = Math.ceil(request.runLengths[run] / PAGE_BYTES);
      part.pages.giveBack(request.runOffsets[run] / PAGE_BYTES, pages);
    }
  }

  /**
   * From a guest's page that is mapped to a piece of a request's memory, whole sectors both. Of what
   * the guest changes meanwhile one or the other is taken.
   */
  fetch(page: Int32Array, pageOffset: number, address: number, lengthBytes: number): void {
    const at = this.offsetOf(address) / WORD_BYTES;
    if (lengthBytes === PAGE_BYTES) this.words.set(page, at);
    else copyWords(page, pageOffset / WORD_BYTES, this.words, at, lengthBytes / WORD_BYTES);
  }

  /** … and from a request's memory to a guest's page. */
  deliver(page: Int32Array, pageOffset: number, address: number, lengthBytes: number): void {
    const from = this.offsetOf(address);
    if (lengthBytes === PAGE_BYTES && from % PAGE_BYTES === 0) {
      page.set(this.pageWords(from / PAGE_BYTES));
    } else {
      const words = lengthBytes / WORD_BYTES;
      copyWords(this.words, from / WORD_BYTES, page, pageOffset / WORD_BYTES, words);
    }
  }

  close(): void {
    this.mapping.unmap();
  }

  private part(firstPage: number, pages: number): MemoryArea {
    const from = firstPage * PAGE_BYTES;
    return {
      bytes: this.mapping.bytes.subarray(from, from + pages * PAGE_BYTES),
      address: this.mapping.address + from,
    };
  }

  private offsetOf(address: number): number {
    return address - this.mapping.address;
  }

  private pageWords(page: number): Int32Array {
    const from = page * PAGE_WORDS;
    return (this.wordsOfPage[page] ??= this.words.subarray(from, from + PAGE_WORDS));
  }
}

/** Of pieces that are no whole pages: `set` would need a new array for each. */
function copyWords(
  from: Int32Array,
  fromAt: number,
  to: Int32Array,
  toAt: number,
  words: number,
): void {
  for (let word = 0; word < words; word++) to[toAt + word] = from[fromAt + word];
}
