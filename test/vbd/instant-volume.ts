/** A volume on a store that needs no help to go on, with a map that keeps nothing. */
import type { MapEntry, MapStorage } from '../../lib/coordination/coordination';
import { MAP_PAGE_ENTRIES } from '../../lib/coordination/coordination';
import type { ChunkStore } from '../../lib/store/chunk-store';
import { Volume } from '../../lib/volume/volume';
import { FakeAttachment, recordOf } from '../volume/doubles/fake-attachment';

export class InstantMap implements MapStorage {
  /** How many entries each commit had. */
  readonly commits: number[] = [];

  constructor(private readonly ownedChunks: readonly number[]) {}

  async load(page: (pageIndex: number, entries: Uint32Array) => void): Promise<void> {
    const pages = new Map<number, Uint32Array>();
    for (const chunk of this.ownedChunks) {
      const index = Math.floor(chunk / MAP_PAGE_ENTRIES);
      const entries = pages.get(index) ?? new Uint32Array(MAP_PAGE_ENTRIES);
      pages.set(index, entries);
      entries[chunk % MAP_PAGE_ENTRIES] = 1;
    }
    for (const [index, entries] of pages) page(index, entries);
  }

  commit(entries: readonly MapEntry[], done: (errno: number) => void): void {
    this.commits.push(entries.length);
    setImmediate(() => done(0));
  }

  sync(done: (errno: number) => void): void {
    setImmediate(() => done(0));
  }
}

export interface InstantOptions {
  readonly store: ChunkStore;
  readonly sizeBytes: number;
  /** Of the layer that takes writes. */
  readonly ownedChunks?: readonly number[];
  readonly readOnly?: boolean;
}

export async function openInstantVolume(
  options: InstantOptions,
): Promise<{ volume: Volume; map: InstantMap }> {
  const { store, sizeBytes } = options;
  const record = recordOf({ sizeBytes, chunkBytes: store.chunkBytes, layer: 1 });
  const map = new InstantMap(options.ownedChunks ?? []);
  const attachment = Object.assign(new FakeAttachment(record, map, false), {
    readOnly: options.readOnly ?? false,
  });
  return { volume: await Volume.open({ attachment, store }), map };
}
