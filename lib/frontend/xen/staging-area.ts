/** The disk's own memory that a guest's data passes through on its way to and from the store. */
import { assert } from '../../assert';
import { type Mapping, mapZeroed } from '../../../native-bindings/mapping';
// Not from the room's index, which makes each use of a constant a call.
import { PAGE_BYTES } from '../../ring/layout';
import type { MemoryArea } from '../../store/memory-area';
import type { VbdRequest } from '../../vbd/request';
import { STAGING_PAGES_MAX, STAGING_STEADY_PAGES } from '../limits';
import { PageRuns } from './page-runs';

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
  private readonly parts: readonly { readonly memory: MemoryArea; readonly pages: PageRuns }[];

  constructor() {
    this.mapping = mapZeroed((STAGING_PAGES_MAX + 1) * PAGE_BYTES);
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
    const { buffer, byteOffset } = this.indirectPage.bytes;
    this.indirectWords = new Int32Array(buffer, byteOffset, PAGE_BYTES / 4);
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
}
