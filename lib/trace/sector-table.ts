/** A number for each sector of a disk of any size, held only where it was ever set. */
import { TapdiskError } from '../errors';
import { MODEL_PAGES_MAX } from './limits';

export const TABLE_PAGE_SECTORS = 64;
const SLAB_PAGES = 2048;

/** Sectors never set have the value 0. */
export class SectorTable {
  private pages = new Map<number, number>();
  private slabs: Float64Array[] = [];
  /** Requests touch neighbours: the last page's place is remembered. */
  private lastPage = -1;
  private lastSlot = -1;

  constructor(private readonly pagesMax = MODEL_PAGES_MAX) {}

  get pageCount(): number {
    return this.pages.size;
  }

  get(sector: number): number {
    const page = Math.floor(sector / TABLE_PAGE_SECTORS);
    const slot = this.find(page);
    return slot < 0 ? 0 : this.slabs[Math.floor(slot / SLAB_PAGES)][cellOf(slot, sector)];
  }

  /** @throws TapdiskError MODEL_FULL */
  set(sector: number, value: number): void {
    const page = Math.floor(sector / TABLE_PAGE_SECTORS);
    let slot = this.find(page);
    if (slot < 0) slot = this.add(page);
    this.slabs[Math.floor(slot / SLAB_PAGES)][cellOf(slot, sector)] = value;
  }

  /** Forgets everything; the memory of a small table is kept for the next use. */
  clear(): void {
    if (this.slabs.length === 1) {
      this.slabs[0].fill(0, 0, this.pages.size * TABLE_PAGE_SECTORS);
    } else {
      this.slabs = [];
    }
    this.pages.clear();
    this.lastPage = -1;
    this.lastSlot = -1;
  }

  /** Calls `visit` for every sector of a range, however long, whose value is not 0. */
  forEachSet(sector: number, count: number, visit: (sector: number) => void): void {
    const end = sector + count;
    if (count <= this.pages.size * TABLE_PAGE_SECTORS) {
      for (let s = sector; s < end; s++) if (this.get(s) !== 0) visit(s);
      return;
    }
    for (const page of [...this.pages.keys()]) {
      const first = Math.max(sector, page * TABLE_PAGE_SECTORS);
      const last = Math.min(end, (page + 1) * TABLE_PAGE_SECTORS);
      for (let s = first; s < last; s++) if (this.get(s) !== 0) visit(s);
    }
  }

  /** Calls `visit` for every sector whose value is not 0. */
  forEachSector(visit: (sector: number) => void): void {
    this.forEachPage((first, values) => {
      for (let n = 0; n < TABLE_PAGE_SECTORS; n++) if (values[n] !== 0) visit(first + n);
    });
  }

  /** Calls `visit` for every page that was ever set, with its own 64 values. */
  forEachPage(visit: (firstSector: number, values: Float64Array) => void): void {
    for (const [page, slot] of this.pages) {
      const at = (slot % SLAB_PAGES) * TABLE_PAGE_SECTORS;
      const slab = this.slabs[Math.floor(slot / SLAB_PAGES)];
      visit(page * TABLE_PAGE_SECTORS, slab.subarray(at, at + TABLE_PAGE_SECTORS));
    }
  }

  private find(page: number): number {
    if (page !== this.lastPage) {
      this.lastPage = page;
      this.lastSlot = this.pages.get(page) ?? -1;
    }
    return this.lastSlot;
  }

  private add(page: number): number {
    const slot = this.pages.size;
    if (slot >= this.pagesMax) {
      throw new TapdiskError(
        'MODEL_FULL',
        `more than ${this.pagesMax * TABLE_PAGE_SECTORS} sectors in ${this.pagesMax} places are to be verified: replay a part of the trace with --count`,
      );
    }
    if (Math.floor(slot / SLAB_PAGES) === this.slabs.length) {
      this.slabs.push(new Float64Array(SLAB_PAGES * TABLE_PAGE_SECTORS));
    }
    this.pages.set(page, slot);
    this.lastPage = page;
    this.lastSlot = slot;
    return slot;
  }
}

function cellOf(slot: number, sector: number): number {
  return (slot % SLAB_PAGES) * TABLE_PAGE_SECTORS + (sector % TABLE_PAGE_SECTORS);
}
