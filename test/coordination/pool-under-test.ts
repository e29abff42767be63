/** What the coordinations' tests share. */
import {
  MAP_PAGE_ENTRIES,
  type Attachment,
  type Coordination,
  type MapEntry,
} from '../../lib/coordination/coordination';

/** One pool, empty at first, reached by any number of hosts or processes. */
export interface PoolUnderTest {
  /** Another process's view of the same pool. */
  open(): Promise<Coordination>;
  /** The process behind a view dies, without releasing anything. */
  kill(view: Coordination): Promise<void>;
  /** Ends everything that is still open. */
  dispose(): Promise<void>;
}

export const MIB = 2 ** 20;
export const CHUNK = 4 * MIB;
export const WRITE = { readOnly: false };
export const READ = { readOnly: true };

export const commit = (attachment: Attachment, entries: readonly MapEntry[]): Promise<number> =>
  new Promise((resolve) => attachment.map.commit(entries, resolve));

export const sync = (attachment: Attachment): Promise<number> =>
  new Promise((resolve) => attachment.map.sync(resolve));

/** Every entry other than 0, as [chunk, layer], in the order in which they were told. */
export async function loadEntries(attachment: Attachment): Promise<[number, number][]> {
  const entries: [number, number][] = [];
  await attachment.map.load((pageIndex, page) => {
    page.forEach((layer, i) => {
      if (layer !== 0) entries.push([pageIndex * MAP_PAGE_ENTRIES + i, layer]);
    });
  });
  return entries;
}

export const refusal = (code: string): unknown => expect.objectContaining({ code });

/** The reasons of those that failed. */
export const failuresOf = (ends: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  ends.flatMap((end): unknown[] => (end.status === 'rejected' ? [end.reason] : []));

/** mulberry32: small, and the same everywhere. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
