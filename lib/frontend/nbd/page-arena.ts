/**
 * Gives out blocks of whole pages from one piece of memory: a buddy allocator in flat arrays.
 *
 * Blocks are powers of two of pages, and what was freed last is given out first, while the
 * processor's caches still know it.
 */
import { assert } from '../../assert';

export const PAGE_BYTES = 4096;

const NONE = -1;

export class PageArena {
  private readonly orderMax: number;
  /** First free block of each order. */
  private readonly heads: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** For a block's first page its order, else NONE. */
  private readonly freeOrders: Int8Array;
  private readonly takenOrders: Int8Array;
  private taken = 0;

  /** `lengthBytes` is a power of two of pages. */
  constructor(lengthBytes: number) {
    const pages = lengthBytes / PAGE_BYTES;
    this.orderMax = Math.log2(pages);
    assert(Number.isInteger(this.orderMax), 'an arena is a power of two of pages');
    this.heads = new Int32Array(this.orderMax + 1).fill(NONE);
    this.next = new Int32Array(pages).fill(NONE);
    this.previous = new Int32Array(pages).fill(NONE);
    this.freeOrders = new Int8Array(pages).fill(NONE);
    this.takenOrders = new Int8Array(pages).fill(NONE);
    this.push(0, this.orderMax);
  }

  /** Blocks given out now. */
  get blocks(): number {
    return this.taken;
  }

  /** Offset of a block of at least `lengthBytes`, or -1 where there is none now. */
  take(lengthBytes: number): number {
    const order = orderOf(lengthBytes);
    let from = order;
    while (from <= this.orderMax && this.heads[from] === NONE) from++;
    if (from > this.orderMax) return NONE;
    const page = this.heads[from];
    this.remove(page, from);
    while (from > order) {
      from--;
      this.push(page + (1 << from), from);
    }
    this.takenOrders[page] = order;
    this.taken++;
    return page * PAGE_BYTES;
  }

  /** Gives a block back, by the offset that `take` said. */
  give(offset: number): void {
    let page = offset / PAGE_BYTES;
    let order = this.takenOrders[page];
    assert(order >= 0, 'only a block that was taken is given back');
    this.takenOrders[page] = NONE;
    this.taken--;
    while (order < this.orderMax) {
      const buddy = page ^ (1 << order);
      if (this.freeOrders[buddy] !== order) break;
      this.remove(buddy, order);
      page &= ~(1 << order);
      order++;
    }
    this.push(page, order);
  }

  private push(page: number, order: number): void {
    const head = this.heads[order];
    this.freeOrders[page] = order;
    this.previous[page] = NONE;
    this.next[page] = head;
    if (head !== NONE) this.previous[head] = page;
    this.heads[order] = page;
  }

  private remove(page: number, order: number): void {
    const before = this.previous[page];
    const after = this.next[page];
    if (before === NONE) this.heads[order] = after;
    else this.next[before] = after;
    if (after !== NONE) this.previous[after] = before;
    this.freeOrders[page] = NONE;
  }
}

/** log2 of the pages that hold so many bytes, rounded up. */
function orderOf(lengthBytes: number): number {
  const pages = Math.ceil(lengthBytes / PAGE_BYTES);
  return pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
}
