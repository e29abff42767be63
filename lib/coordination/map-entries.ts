/** The entries of a chunk map's page as they are kept: u32, and of the volume's own layers. */
import { endianness } from 'node:os';
import { assert } from '../assert';
import { TapdiskError } from '../errors';
import { MAP_PAGE_ENTRIES } from './coordination';
import type { StoredRecord } from './stored-record';

// Pages are handed on as they are kept, little-endian; other machines would need them swapped.
assert(endianness() === 'LE', 'the machine is little-endian');

export const MAP_ENTRY_BYTES = 4;

/** The layers that a map's entries may name. */
export function layersOf(record: StoredRecord): ReadonlySet<number> {
  return new Set([record.layer, ...record.frozenLayers]);
}

/**
 * True where an entry is other than 0.
 * @throws TapdiskError MAP_CORRUPT where one names a layer that is not in `layers`
 */
export function checkMapEntries(
  entries: Uint32Array,
  pageIndex: number,
  path: string,
  layers: ReadonlySet<number>,
): boolean {
  let known = 0;
  for (let i = 0; i < entries.length; i++) {
    const layer = entries[i];
    if (layer === known || layer === 0) continue;
    if (!layers.has(layer)) {
      const chunk = pageIndex * MAP_PAGE_ENTRIES + i;
      throw mapCorrupt(path, `chunk ${chunk} names layer ${layer}, which is not the volume's`);
    }
    known = layer;
  }
  return known !== 0;
}

export function mapCorrupt(path: string, why: string): TapdiskError {
  return new TapdiskError(
    'MAP_CORRUPT',
    `chunk map ${path} is damaged (${why}); it was left as it is, restore it from a backup`,
  );
}
