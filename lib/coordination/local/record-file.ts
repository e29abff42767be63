/** A volume's record on disk: what changes only with its layers. */
import { join } from 'node:path';
import { z } from 'zod';
import { LAYER_MAX } from '../limits';
import { checkGeometry } from '../volume-geometry';
import { SECTOR_BYTES } from '../../sector';
import type { VolumeRecord } from '../volume-record';
import { writeFileDurably } from './durable-file';
import type { FileSystem } from './file-system';
import { FILE_MODE, type VolumeLayout } from './layout';
import { corruptJson, parseJson, type JsonFormat } from './versioned-json';

export const RECORD_VERSION = 1;
export const RECORD_MAGIC = 'tapdisk-ts volume';

const layer = z.int().min(1).max(LAYER_MAX);

const recordSchema = z.strictObject({
  magic: z.literal(RECORD_MAGIC),
  version: z.literal(RECORD_VERSION),
  name: z.string(),
  uuid: z.uuid(),
  sizeBytes: z.int().min(SECTOR_BYTES),
  chunkBytes: z.int(),
  layer,
  frozenLayers: z.array(layer),
  createdAt: z.iso.datetime(),
});

/** All of a record but its epoch, which the state file has. */
export type StoredRecord = Omit<VolumeRecord, 'epoch'>;

/**
 * Reads a record and checks every field.
 * `name` is the volume's where that is known: a directory copied or renamed by hand is refused,
 * since two volumes would write to one layer.
 *
 * @throws TapdiskError VOLUME_RECORD_CORRUPT, VOLUME_RECORD_VERSION_UNKNOWN; ENOENT as it comes
 */
export async function readRecord(
  volume: VolumeLayout,
  fileSystem: FileSystem,
  name?: string,
): Promise<StoredRecord> {
  const format = formatOf(volume);
  const text = await fileSystem.readText(volume.record);
  const {
    name: named,
    uuid,
    sizeBytes,
    chunkBytes,
    ...rest
  } = parseJson(text, recordSchema, format);
  const { layer: current, frozenLayers, createdAt } = rest;
  const record: StoredRecord = {
    name: named,
    uuid,
    sizeBytes,
    chunkBytes,
    layer: current,
    frozenLayers,
    createdAt,
  };
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
  return record;
}

/** Replaces a record; it survives a power cut when this resolves. */
export async function writeRecord(
  volume: VolumeLayout,
  record: StoredRecord,
  fileSystem: FileSystem,
): Promise<void> {
  await writeFileDurably(volume.record, encodeRecord(record), { mode: FILE_MODE, fileSystem });
}

export function encodeRecord(record: StoredRecord): string {
  const { name, uuid, sizeBytes, chunkBytes, layer: current, frozenLayers, createdAt } = record;
  const stored = {
    magic: RECORD_MAGIC,
    version: RECORD_VERSION,
    name,
    uuid,
    sizeBytes,
    chunkBytes,
    layer: current,
    frozenLayers,
    createdAt,
  };
  return `${JSON.stringify(stored, null, 2)}\n`;
}

function formatOf(volume: VolumeLayout): JsonFormat {
  return {
    path: join(volume.record),
    version: RECORD_VERSION,
    magic: RECORD_MAGIC,
    codePrefix: 'VOLUME_RECORD',
  };
}
