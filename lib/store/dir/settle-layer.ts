/**
 * Ends what an earlier process left under way in a layer's extent files, and makes all that it wrote
 * survive a power cut.
 */
import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { preallocate } from '../../../native-bindings/posix';
import { errnoOf } from '../../errors';
import { layerDirectory } from './extent-path';

/**
 * Nothing to wait with: a file system without fallocate (MooseFS, NFS before 4.2), or one that is
 * full. Of the two names of that errno, Node's libuv uses ENOTSUP.
 */
const CANNOT_FALLOCATE = ['ENOTSUP', 'EOPNOTSUPP', 'ENOSPC', 'EDQUOT'];

/**
 * Waits for writes still in flight, then syncs every extent file of the layer, then the directories that name them. What is not there
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
  for (const name of names) {
    await endWritesInFlight(join(path, name));
    await sync(join(path, name));
  }
  await sync(path);
  await sync(dirname(path));
  await sync(directory);
}

/**
 * The kernel does not wait for the direct writes of a killed process before it drops that process's
 * locks, so one could still land on top of a write of ours. Any fallocate waits for them (ext4 and
 * xfs: inode_dio_wait); one of the first byte takes a block at the most.
 */
async function endWritesInFlight(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    preallocate(file.fd, 0, 1);
  } catch (error) {
    if (!CANNOT_FALLOCATE.includes(errnoOf(error) ?? '')) throw error;
  } finally {
    await file.close();
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
