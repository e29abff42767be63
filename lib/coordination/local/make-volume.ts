/** Makes directories that are complete or not there: a pool's, and a volume's by one rename. */
import { join } from 'node:path';
import { errnoOf, TapdiskError } from '../../errors';
import type { StoredRecord } from '../stored-record';
import { syncDirectory, TEMPORARY_PREFIX, writeNewFile } from './durable-file';
import { NODE_FILE_SYSTEM, type FileSystem } from './file-system';
import { createLayerCounter } from './layer-counter';
import { DIRECTORY_MODE, FILE_MODE, localLayout, volumeLayout, type LocalLayout } from './layout';
import { createMapFile } from './map-file';
import { encodeOwner } from './owner';
import { encodeRecord } from './record-file';
import { encodeFirstState } from './state-file';

/** Makes what the coordination needs in a pool's directory; what is there already stays. */
export async function initLocalDirectory(
  directory: string,
  fileSystem: FileSystem = NODE_FILE_SYSTEM,
): Promise<void> {
  const layout = localLayout(directory);
  const present = await fileSystem.readdir(directory);
  for (const path of [layout.volumes, layout.creating, layout.deleted]) {
    await fileSystem.mkdir(path, DIRECTORY_MODE).catch(unlessPresent);
  }
  await writeNewFile(layout.lock, '', FILE_MODE, fileSystem).catch(unlessPresent);
  const hasCounter = present.some((name) => join(directory, name) === layout.layerCounter);
  if (!hasCounter) await createLayerCounter(layout.layerCounter, fileSystem);
  await syncDirectory(directory, fileSystem);
}

/** Makes a volume whose name is free; the caller holds the pool's lock. @throws NO_SPACE */
export async function makeVolume(
  layout: LocalLayout,
  record: StoredRecord,
  fileSystem: FileSystem,
): Promise<void> {
  const half = volumeLayout(join(layout.creating, record.uuid));
  try {
    await fileSystem.mkdir(half.directory, DIRECTORY_MODE);
    await fileSystem.mkdir(half.readers, DIRECTORY_MODE);
    await writeNewFile(half.record, encodeRecord(record), FILE_MODE, fileSystem);
    await writeNewFile(half.state, encodeFirstState(record.uuid), FILE_MODE, fileSystem);
    await writeNewFile(half.lock, encodeOwner(null), FILE_MODE, fileSystem);
    await createMapFile(half.map, record, fileSystem);
    await syncDirectory(half.directory, fileSystem);
    await fileSystem.rename(half.directory, join(layout.volumes, record.name));
  } catch (error) {
    await fileSystem.removeTree(half.directory).catch(() => {});
    if (errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT') throw noSpace(layout, error);
    throw error;
  }
  await syncDirectory(layout.volumes, fileSystem);
  await syncDirectory(layout.creating, fileSystem);
}

/** Removes what makers that died left; the caller holds the pool's lock. */
export async function sweepHalfMade(layout: LocalLayout, fileSystem: FileSystem): Promise<void> {
  for (const name of await fileSystem.readdir(layout.creating)) {
    await fileSystem.removeTree(join(layout.creating, name));
  }
  for (const name of await fileSystem.readdir(layout.directory)) {
    if (name.startsWith(TEMPORARY_PREFIX)) await fileSystem.unlink(join(layout.directory, name));
  }
}

function unlessPresent(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error;
}

function noSpace(layout: LocalLayout, error: unknown): TapdiskError {
  return new TapdiskError(
    'NO_SPACE',
    `${layout.directory} has no room for another volume's record and chunk map; free some space`,
    { cause: error },
  );
}
