/** Deleting a volume in steps that can be cut: moved aside at once, forgotten when its layers are gone. */
import { join } from 'node:path';
import { errnoOf } from '../../errors';
import type { PendingDeletion } from '../coordination';
import { layersOnlyOf, type StoredRecord } from '../stored-record';
import { syncDirectory } from './durable-file';
import type { FileSystem } from './file-system';
import { volumeLayout, type LocalLayout } from './layout';
import { readRecord } from './record-file';

/** Takes a volume off the list; survives a power cut when this resolves. */
export async function moveAside(
  layout: LocalLayout,
  record: StoredRecord,
  fileSystem: FileSystem,
): Promise<void> {
  await fileSystem.rename(join(layout.volumes, record.name), join(layout.deleted, record.uuid));
  await syncDirectory(layout.deleted, fileSystem);
  await syncDirectory(layout.volumes, fileSystem);
}

/** What was moved aside; what lacks its record had its layers deleted before, and is removed. */
export async function listPendingDeletions(
  layout: LocalLayout,
  fileSystem: FileSystem,
): Promise<PendingDeletion[]> {
  const uuids = await fileSystem.readdir(layout.deleted);
  if (uuids.length === 0) return [];
  const needed = await neededLayers(layout, fileSystem);
  const pending: PendingDeletion[] = [];
  for (const uuid of uuids) {
    const directory = join(layout.deleted, uuid);
    try {
      const record = await readRecord(volumeLayout(directory), fileSystem);
      const { name, chunkBytes } = record;
      pending.push({ name, uuid, chunkBytes, layers: layersOnlyOf(record, needed) });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      await fileSystem.removeTree(directory);
    }
  }
  return pending;
}

/**
 * Layers that the listed volumes have, but for `except`.
 * @throws TapdiskError where a record is damaged: nobody knows then what it needs
 */
export async function neededLayers(
  layout: LocalLayout,
  fileSystem: FileSystem,
  except?: string,
): Promise<ReadonlySet<number>> {
  const needed = new Set<number>();
  for (const name of await fileSystem.readdir(layout.volumes)) {
    if (name === except) continue;
    try {
      const record = await readRecord(volumeLayout(join(layout.volumes, name)), fileSystem, name);
      needed.add(record.layer);
      for (const layer of record.frozenLayers) needed.add(layer);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  return needed;
}
