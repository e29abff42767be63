/** Which layer owns each chunk of a volume: a sparse array of u32, 0 for "reads as zeros". */
import { assert } from '../assert';
import { MAP_PAGE_ENTRIES } from '../coordination/coordination';

/** Pages are made when the first entry in them is set, so an empty 8 TiB volume takes 16 KiB. */
export class ChunkMap {
  private pages: (Uint32Array | undefined)[];
  private ownedCount = 0;
  private count: number;

  constructor(chunkCount: number) {
    this.count = chunkCount;
    this.pages = pagesFor(chunkCount);
  }

  get chunkCount(): number {
    return this.count;
  }

  /**
   * Makes it longer or shorter; chunks that it loses have no owner. Entries stay where they are: a
   * page that is there is kept as it is, so only the list of pages is copied.
   */
  resize(chunkCount: number): void {
    assert(this.nextOwned(chunkCount, this.count) < 0, 'no owned chunk is cut off');
    // A new list, since one that is made longer may become a hash table, and slow.
    const pages = pagesFor(chunkCount);
    const kept = Math.min(pages.length, this.pages.length);
    for (let index = 0; index < kept; index++) pages[index] = this.pages[index];
    this.pages = pages;
    this.count = chunkCount;
  }

  /** Number of chunks with an owner. */
  get owned(): number {
    return this.ownedCount;
  }

  /** Layer that owns a chunk, or 0. */
  get(chunk: number): number {
    const page = this.pages[(chunk / MAP_PAGE_ENTRIES) >>> 0];
    return page === undefined ? 0 : page[chunk % MAP_PAGE_ENTRIES];
  }

  set(chunk: number, layer: number): void {
    assert(chunk >= 0 && chunk < this.count, 'a chunk index lies within the volume');
    const index = (chunk / MAP_PAGE_ENTRIES) >>> 0;
    let page = this.pages[index];
    if (page === undefined) {
      if (layer === 0) return;
      this.pages[index] = page = new Uint32Array(MAP_PAGE_ENTRIES);
    }
    const at = chunk % MAP_PAGE_ENTRIES;
    if (page[at] === 0 && layer !== 0) this.ownedCount++;
    if (page[at] !== 0 && layer === 0) this.ownedCount--;
    page[at] = layer;
  }

  /** Takes over a page as it was read from the coordination. */
  load(pageIndex: number, entries: Uint32Array): void {
    assert(entries.length <= MAP_PAGE_ENTRIES, 'a map page has at most MAP_PAGE_ENTRIES entries');
    for (let i = 0; i < entries.length; i++) {
      if (entries[i] !== 0) this.set(pageIndex * MAP_PAGE_ENTRIES + i, entries[i]);
    }
  }

  /** First owned chunk at or after `from` and before `end`, or -1; skips empty pages at once. */
  nextOwned(from: number, end: number): number {
    for (let chunk = from; chunk < end;) {
      const page = this.pages[(chunk / MAP_PAGE_ENTRIES) >>> 0];
      if (page === undefined) {
        chunk = (Math.floor(chunk / MAP_PAGE_ENTRIES) + 1) * MAP_PAGE_ENTRIES;
      } else if (page[chunk % MAP_PAGE_ENTRIES] !== 0) {
        return chunk;
      } else {
        chunk++;
      }
    }
    return -1;
  }

  /** First chunk without an owner at or after `from` and before `end`, or -1. */
  nextFree(from: number, end: number): number {
    for (let chunk = from; chunk < end; chunk++) {
      const page = this.pages[(chunk / MAP_PAGE_ENTRIES) >>> 0];
      if (page === undefined || page[chunk % MAP_PAGE_ENTRIES] === 0) return chunk;
    }
    return -1;
  }
}

function pagesFor(chunkCount: number): (Uint32Array | undefined)[] {
  return new Array<Uint32Array | undefined>(Math.ceil(chunkCount / MAP_PAGE_ENTRIES));
}
