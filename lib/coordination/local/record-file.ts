/** A volume's record on disk: what changes only with its layers. */
import { join } from 'node:path';
import { z } from 'zod/v3';
import {
  checkStoredRecord,
  storedRecordFields,
  storedRecordOf,
  type StoredRecord,
} from '../stored-record';
import { parseJson, type JsonFormat } from '../versioned-json';
import { writeFileDurably } from './durable-file';
import type { FileSystem } from './file-system';
import { FILE_MODE, type VolumeLayout } from './layout';

export const RECORD_VERSION = 1;
export const RECORD_MAGIC = 'tapdisk-ts volume';

const recordSchema = z.strictObject({
  magic: z.literal(RECORD_MAGIC),
  version: z.literal(RECORD_VERSION),
  ...storedRecordFields,
});

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
  const record = storedRecordOf(parseJson(text, recordSchema, format));
  checkStoredRecord(record, format, name);
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
  const stored = { magic: RECORD_MAGIC, version: RECORD_VERSION, ...storedRecordOf(record) };
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
