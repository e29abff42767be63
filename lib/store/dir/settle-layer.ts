/** Makes what an earlier process wrote into a layer's extent files survive a power cut. */
import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../errors';
import { layerDirectory } from './extent-path';

/**
 * Syncs every extent file of the layer, then the directories that name them. What is not there
 * needs no sync. Throws system errors.
 */
export async function settleLayerFiles(directory: string, layer: number): Promise<void> {
  const path = layerDirectory(directory, layer);
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  for (const name of names) await sync(join(path, name));
  await sync(path);
  await sync(dirname(path));
  await sync(directory);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
