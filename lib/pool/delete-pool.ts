/** Deletes a pool: its volumes where that is asked for, its directory's content, its file. */
import { readdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { removePoolKeys } from '../coordination/etcd/pool-key';
import { syncDirectory, TEMPORARY_PREFIX } from '../coordination/local/durable-file';
import { NODE_FILE_SYSTEM } from '../coordination/local/file-system';
import { localLayout } from '../coordination/local/layout';
import { withPoolLock } from '../coordination/local/pool-lock';
import { errnoOf, TapdiskError } from '../errors';
import { BootClock } from '../etcd/boot-clock';
import { checkPoolDirectory } from './check-directory';
import { poolsDirectory } from './config-directory';
import { deleteVolume, finishDeletions } from './delete-volume';
import { openPool, type PoolSetting } from './open-pool';
import { isEtcdPool, readPoolConfig, removePoolConfig, storePathOf } from './pool-config';
import { POOL_DELETING_FILE, POOL_IDENTITY_FILE } from './pool-identity';

export interface DeletePool {
  readonly name: string;
  /** Deletes its volumes as well. */
  readonly force: boolean;
  /** Forgets the pool and leaves its directory as it is. */
  readonly keepData: boolean;
  /** Told of each volume that is gone. */
  readonly progress?: (deletedVolumes: number, allVolumes: number) => void;
}

/** @throws TapdiskError POOL_NOT_EMPTY, VOLUME_ATTACHED, and those of openPool */
export async function deletePool(
  { name, force, keepData, progress }: DeletePool,
  setting: PoolSetting = {},
): Promise<void> {
  const configDirectory = poolsDirectory(setting.env, setting.uid);
  const config = await readPoolConfig(configDirectory, name);
  const directory = storePathOf(config);
  if (!keepData && directory !== null) {
    await checkPoolDirectory(directory, setting.uid);
    // Cut short before: the volumes are gone, and what is left is no pool any more.
    if (!(await readdir(directory)).includes(POOL_DELETING_FILE)) {
      await deleteVolumes(name, force, progress ?? (() => {}), setting);
      if (isEtcdPool(config)) await renameIdentity(directory);
      else await beginWipe(name, directory);
    }
    await wipeContent(directory);
  } else if (!keepData) {
    await deleteVolumes(name, force, progress ?? (() => {}), setting);
  }
  await removePoolConfig(configDirectory, name);
  if (!keepData && directory !== null) await endWipe(directory);
}

/** Finishes the deletion of a pool that was in this directory, where one was cut short. */
export async function resumeWipe(directory: string): Promise<void> {
  if (!(await readdir(directory)).includes(POOL_DELETING_FILE)) return;
  await wipeContent(directory);
  await unlink(join(directory, POOL_DELETING_FILE));
}

async function deleteVolumes(
  name: string,
  force: boolean,
  progress: (deletedVolumes: number, allVolumes: number) => void,
  setting: PoolSetting,
): Promise<void> {
  const pool = await openPool(name, setting);
  try {
    const names = await pool.coordination.names();
    if (names.length > 0 && !force) throw notEmpty(name, names.length);
    for (const [index, volume] of names.entries()) {
      await deleteVolume(pool, volume);
      progress(index + 1, names.length);
    }
    await finishDeletions(pool);
    if (pool.cluster === null) return;
    const isGone = await removePoolKeys(pool.cluster.etcd, new BootClock());
    if (!isGone) throw notEmpty(name, (await pool.coordination.names()).length);
  } finally {
    await pool.close();
  }
}

/** From the rename on the directory is no pool. The lock keeps a volume being made out of it. */
async function beginWipe(name: string, directory: string): Promise<void> {
  const layout = localLayout(directory);
  await withPoolLock(layout.lock, NODE_FILE_SYSTEM, async () => {
    const names = await readdir(layout.volumes);
    if (names.length > 0) throw notEmpty(name, names.length);
    await renameIdentity(directory);
  });
}

async function renameIdentity(directory: string): Promise<void> {
  await rename(join(directory, POOL_IDENTITY_FILE), join(directory, POOL_DELETING_FILE));
  await syncDirectory(directory, NODE_FILE_SYSTEM);
}

/** Removes what pools consist of, and nothing else that somebody put there. */
async function wipeContent(directory: string): Promise<void> {
  const { volumes, creating, deleted, lock, layerCounter } = localLayout(directory);
  const layers = join(directory, 'layers');
  for (const path of [volumes, creating, deleted, layers, layerCounter, lock]) {
    await rm(path, { recursive: true, force: true });
  }
  for (const name of await readdir(directory)) {
    if (name.startsWith(TEMPORARY_PREFIX)) await unlink(join(directory, name));
  }
}

async function endWipe(directory: string): Promise<void> {
  await unlink(join(directory, POOL_DELETING_FILE));
  try {
    await rmdir(directory);
  } catch (error) {
    // A mount point, or a directory with files of others, stays.
    if (!['ENOTEMPTY', 'EEXIST', 'EBUSY', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) {
      throw error;
    }
  }
}

function notEmpty(name: string, count: number): TapdiskError {
  return new TapdiskError(
    'POOL_NOT_EMPTY',
    `pool "${name}" has ${count} volume${count === 1 ? '' : 's'}; ` +
      'delete them first, or give --force to delete them with it',
  );
}
