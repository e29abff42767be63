/** Deletes volumes and their chunks, and finishes deletions that a crash cut short. */
import { TapdiskError } from '../errors';
import type { Pool } from './open-pool';

/** Told after each layer. */
export type DeletionProgress = (deletedLayers: number, allLayers: number) => void;

/** @throws TapdiskError VOLUME_NOT_FOUND, VOLUME_ATTACHED */
export async function deleteVolume(
  pool: Pool,
  name: string,
  progress: DeletionProgress = () => {},
): Promise<void> {
  const { uuid, chunkBytes } = await pool.coordination.read(name);
  const layers = await pool.coordination.delete(name);
  await deleteLayers(pool, chunkBytes, layers, progress);
  await pool.coordination.finishDeletion(uuid);
}

/** Resolves to the names of volumes whose chunks are gone now. */
export async function finishDeletions(pool: Pool): Promise<string[]> {
  const pending = await pool.coordination.pendingDeletions();
  for (const { uuid, chunkBytes, layers } of pending) {
    await deleteLayers(pool, chunkBytes, layers, () => {});
    await pool.coordination.finishDeletion(uuid);
  }
  return pending.map(({ name }) => name);
}

async function deleteLayers(
  pool: Pool,
  chunkBytes: number,
  layers: readonly number[],
  progress: DeletionProgress,
): Promise<void> {
  if (layers.length === 0) return;
  const store = await pool.openStore({ chunkBytes, readOnly: false, engine: 'threads' });
  try {
    for (const [index, layer] of layers.entries()) {
      await store.deleteLayer(layer);
      progress(index + 1, layers.length);
    }
  } catch (error) {
    throw new TapdiskError(
      'LAYER_NOT_DELETED',
      `not all chunks could be deleted from ${pool.directory ?? 'etcd'} (${(error as Error).message}); ` +
        'the next command that opens the pool tries again',
      { cause: error },
    );
  } finally {
    await store.close();
  }
}
