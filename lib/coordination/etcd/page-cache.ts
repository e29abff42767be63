/** The map pages that an owner keeps, so that changing an entry need not read its page first. */
import type { MapPage } from './map-pages';

/** The pages used last, at most so many. */
export class PageCache {
  /** In the order of their last use. */
  private readonly pages = new Map<number, MapPage>();

  constructor(private readonly pagesMax: number) {}

  get size(): number {
    return this.pages.size;
  }

  get(pageIndex: number): MapPage | undefined {
    const page = this.pages.get(pageIndex);
    if (page !== undefined) {
      this.pages.delete(pageIndex);
      this.pages.set(pageIndex, page);
    }
    return page;
  }

  put(page: MapPage): void {
    this.pages.delete(page.pageIndex);
    this.pages.set(page.pageIndex, page);
    if (this.pages.size <= this.pagesMax) return;
    for (const oldest of this.pages.keys()) {
      this.pages.delete(oldest);
      return;
    }
  }

  drop(pageIndex: number): void {
    this.pages.delete(pageIndex);
  }
}
