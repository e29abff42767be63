/** What of a volume's record is kept as JSON, in a file or under a key, and when it is sound. */
import { z } from 'zod/v3';
import { integer } from '../integer';
import { SECTOR_BYTES } from '../sector';
import { LAYER_MAX } from './limits';
import { corruptJson, type JsonFormat } from './versioned-json';
import { checkGeometry } from './volume-geometry';
import type { VolumeRecord } from './volume-record';

/** All of a record but its epoch, which changes with every attach and is kept apart. */
export type StoredRecord = Omit<VolumeRecord, 'epoch'>;

const layer = integer.min(1).max(LAYER_MAX);

/** For a schema that adds its own version and magic. */
export const storedRecordFields = {
  name: z.string(),
  uuid: z.string().uuid(),
  sizeBytes: integer.min(SECTOR_BYTES),
  chunkBytes: integer,
  layer,
  frozenLayers: z.array(layer),
  createdAt: z.string().datetime(),
};

/** These fields alone, in the order in which they are written. */
export function storedRecordOf(record: StoredRecord): StoredRecord {
  const { name, uuid, sizeBytes, chunkBytes, createdAt, frozenLayers } = record;
  return { name, uuid, sizeBytes, chunkBytes, layer: record.layer, frozenLayers, createdAt };
}

/**
 * Checks what a schema cannot. `name` is the volume's where that is known: a record that was copied
 * or renamed by hand is refused, since two volumes would write to one layer.
 *
 * @throws TapdiskError `…_CORRUPT` of the format
 */
export function checkStoredRecord(record: StoredRecord, format: JsonFormat, name?: string): void {
  if (name !== undefined && record.name !== name) {
    throw corruptJson(format, `it is the record of volume "${record.name}"`);
  }
  if (record.frozenLayers.includes(record.layer)) {
    throw corruptJson(format, `layer ${record.layer} is both frozen and written to`);
  }
  try {
    checkGeometry(record.sizeBytes, record.chunkBytes);
  } catch (error) {
    throw corruptJson(format, (error as Error).message, error);
  }
}

/** Layers of a record that are not in `needed`. */
export function layersOnlyOf(record: StoredRecord, needed: ReadonlySet<number>): number[] {
  return [record.layer, ...record.frozenLayers].filter((id) => !needed.has(id));
}
