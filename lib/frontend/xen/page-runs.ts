/** Which pages of an area are free, given out in runs from the front. */
import { assert } from '../../assert';

const FREE = 0;
const USED = 1;

export class PageRuns {
  /** Pages that nobody has. */
  free: number;
  /** How many pages the last `takeFirst` took. */
  taken = 0;
  private readonly state: Uint8Array;
  /** No page before this one is free. */
  private firstFree = 0;

  constructor(readonly pages: number) {
    this.free = pages;
    this.state = new Uint8Array(pages);
  }

  /**
   * Takes the first run of `pages` free pages or, where no free pages lie so side by side, the
   * first run there is; `taken` says how many. Returns its first page. Few pages in use stay in
   * front: what was never used costs no memory.
   */
  takeFirst(pages: number): number {
    assert(pages > 0 && this.free > 0, 'a run is taken where a page is free');
    const { state } = this;
    while (state[this.firstFree] === USED) this.firstFree++;
    let start = this.firstFree;
    let length = pages;
    for (let page = start, found = 0; found < pages; page++) {
      if (page === this.pages) {
        // None so long: the one in front, as far as it goes.
        start = this.firstFree;
        length = 0;
        while (length < pages && state[start + length] === FREE) length++;
        break;
      }
      if (state[page] === FREE) found++;
      else {
        found = 0;
        start = page + 1;
      }
    }
    // Past the end lies undefined, which is not FREE.
    state.fill(USED, start, start + length);
    this.free -= length;
    this.taken = length;
    if (start === this.firstFree) this.firstFree += length;
    return start;
  }

  giveBack(first: number, pages: number): void {
    for (let page = first; page < first + pages; page++) {
      assert(this.state[page] === USED, 'a page given back was taken');
      this.state[page] = FREE;
    }
    this.free += pages;
    if (first < this.firstFree) this.firstFree = first;
  }
}
