/** A volume's map pages, read ahead by a standby and freshened until the volume is its own. */
import type { EtcdContext } from './context';
import { WARM_PAGES_MAX } from './limits';
import { decodeMapPage, mapRange, type MapPage } from './map-pages';

export class WarmMap {
  /** In no order. Null where they are too many to be kept: then they are read when needed. */
  private pages: Map<number, MapPage> | null = new Map();
  /** Everything up to it was read. */
  private revision = 0;

  constructor(
    private readonly context: EtcdContext,
    private readonly uuid: string,
    private readonly pagesMax = WARM_PAGES_MAX,
  ) {}

  get isKept(): boolean {
    return this.pages !== null;
  }

  /** Reads what was changed since it was last called; everything at first. */
  async refresh(): Promise<void> {
    if (this.pages === null) return;
    let readUpTo = 0;
    const range = mapRange(this.uuid, this.revision === 0 ? undefined : this.revision + 1);
    await this.context.eachPage(range, (found, revision) => {
      // Pages that change while later ones are read are told again by the next refresh.
      if (readUpTo === 0) readUpTo = revision;
      for (const keyValue of found) this.keep(decodeMapPage(keyValue, this.uuid));
    });
    this.revision = readUpTo;
  }

  /** Pages in ascending order; empty where they were too many. */
  take(): readonly MapPage[] {
    const pages = [...(this.pages?.values() ?? [])];
    return pages.sort((a, b) => a.pageIndex - b.pageIndex);
  }

  private keep(page: MapPage): void {
    this.pages?.set(page.pageIndex, page);
    if (this.pages !== null && this.pages.size > this.pagesMax) this.pages = null;
  }
}
