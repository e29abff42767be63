/** A guest's pages that stay mapped for as long as its ring does (blkif.h, feature-persistent). */
import type { GrantDevice, GrantMapping } from '../../../native-bindings/gntdev';
// Not from the room's index, which makes each use of a constant a call.
import { PAGE_BYTES } from '../../ring/layout';
import type { RingCounters } from '../ring-counters';
import { PERSISTENT_MAP_FAILURES_MAX } from './limits';

const PAGE_WORDS = PAGE_BYTES / Int32Array.BYTES_PER_ELEMENT;

/**
 * By grant reference, which the guest chooses. A front end that agreed on persistent grants never
 * ends one that is mapped; one that does all the same has us read and write the page that it had
 * granted before, which Xen keeps its own until it is unmapped here.
 *
 * Whatever is not in here, for whatever reason, goes by grant copy.
 */
export class PersistentPages {
  private readonly pages = new Map<number, Int32Array>();
  private readonly wanted = new Set<number>();
  private readonly mappings: GrantMapping[] = [];
  private failures = 0;

  /** `pagesMax`: 0 where persistent grants were not agreed on. */
  constructor(
    private readonly grants: GrantDevice,
    private readonly domid: number,
    private readonly pagesMax: number,
    private readonly counters: Pick<RingCounters, 'persistentGrants'>,
  ) {}

  /** The page that is mapped for this reference, in words. */
  find(ref: number): Int32Array | undefined {
    return this.pages.get(ref);
  }

  /** Has the next `mapWanted` map it, where there is room. */
  want(ref: number): void {
    if (!this.takesMore || this.pages.has(ref)) return;
    this.wanted.add(ref);
  }

  /** As `want`, of the first `count`. */
  wantAll(refs: Uint32Array, count: number): void {
    for (let at = 0; at < count && this.takesMore; at++) this.want(refs[at]);
  }

  /** Maps what is wanted in one call: all of it or, where one of them is refused, nothing. */
  mapWanted(): void {
    if (this.wanted.size === 0) return;
    const refs = [...this.wanted];
    this.wanted.clear();
    let mapping: GrantMapping;
    try {
      mapping = this.grants.map(this.domid, refs);
    } catch {
      // The copies that follow tell what of it can be reached at all.
      this.failures++;
      return;
    }
    this.mappings.push(mapping);
    const { buffer, byteOffset } = mapping.bytes;
    for (const [at, ref] of refs.entries()) {
      this.pages.set(ref, new Int32Array(buffer, byteOffset + at * PAGE_BYTES, PAGE_WORDS));
    }
    this.counters.persistentGrants += refs.length;
  }

  /** Nothing may be in flight. */
  unmap(): void {
    this.counters.persistentGrants -= this.pages.size;
    this.pages.clear();
    this.wanted.clear();
    for (const mapping of this.mappings.splice(0)) mapping.unmap();
  }

  private get takesMore(): boolean {
    return (
      this.pages.size + this.wanted.size < this.pagesMax &&
      this.failures < PERSISTENT_MAP_FAILURES_MAX
    );
  }
}
