/** Makes a pool: its directory's content first, its identity last, then this host's file about it. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { localLayout } from '../coordination/local/layout';
import { TEMPORARY_PREFIX } from '../coordination/local/durable-file';
import { openLocalCoordination } from '../coordination/local/local-coordination';
import { initLocalDirectory } from '../coordination/local/make-volume';
import { checkName } from '../coordination/name';
import { TapdiskError } from '../errors';
import { checkPoolDirectory, makePoolDirectory } from './check-directory';
import { poolsDirectory } from './config-directory';
import { resumeWipe } from './delete-pool';
import type { PoolSetting } from './open-pool';
import {
  listPoolNames,
  LOCAL_POOL_CONFIG_VERSION,
  readPoolConfig,
  writePoolConfig,
  type LocalPoolConfig,
} from './pool-config';
import {
  POOL_IDENTITY_FILE,
  readPoolIdentity,
  writePoolIdentity,
  type PoolIdentity,
} from './pool-identity';
import { checkStoreKind } from './store-kinds';

export interface CreatePool {
  readonly name: string;
  readonly path: string;
  readonly storeKind: string;
  /** Takes over a directory that is a pool with volumes already. */
  readonly existing: boolean;
}

/**
 * @throws TapdiskError POOL_EXISTS, POOL_DIRECTORY_IN_USE, POOL_DIRECTORY_NOT_EMPTY,
 * POOL_PARENT_MISSING, POOL_DIRECTORY_FOREIGN, STORE_KIND_UNKNOWN
 */
export async function createPool(
  { name, path, storeKind, existing }: CreatePool,
  setting: PoolSetting = {},
): Promise<LocalPoolConfig> {
  checkName('pool', name);
  checkStoreKind(storeKind);
  const configDirectory = poolsDirectory(setting.env, setting.uid);
  if ((await listPoolNames(configDirectory)).includes(name)) {
    throw new TapdiskError(
      'POOL_EXISTS',
      `pool "${name}" exists already; choose another name, or delete it first`,
    );
  }
  const directory = resolve(path);
  await makePoolDirectory(directory);
  await checkPoolDirectory(directory, setting.uid);
  await resumeWipe(directory);
  const isPool = (await readdir(directory)).includes(POOL_IDENTITY_FILE);
  const identity = isPool
    ? await adopt(directory, storeKind, existing)
    : await initialise(directory, storeKind);
  await checkUnknown(configDirectory, identity, directory);
  const config: LocalPoolConfig = {
    version: LOCAL_POOL_CONFIG_VERSION,
    uuid: identity.uuid,
    store: { kind: identity.store, path: directory },
    coordination: { kind: 'local', path: directory },
  };
  await writePoolConfig(configDirectory, name, config);
  return config;
}

/** Two names for one pool would make two admins believe that each has their own. */
async function checkUnknown(
  configDirectory: string,
  { uuid }: PoolIdentity,
  directory: string,
): Promise<void> {
  for (const name of await listPoolNames(configDirectory)) {
    const known = await readPoolConfig(configDirectory, name).catch(() => null);
    if (known?.uuid !== uuid) continue;
    throw new TapdiskError(
      'POOL_DIRECTORY_IN_USE',
      `${directory} is pool "${name}" already; use that one, or choose another directory`,
    );
  }
}

/** A pool without volumes is taken over unasked: its creation may have been cut before its end. */
async function adopt(
  directory: string,
  storeKind: string,
  existing: boolean,
): Promise<PoolIdentity> {
  const identity = await readPoolIdentity(directory);
  if (identity.coordination !== 'local') {
    throw new TapdiskError(
      'POOL_DIRECTORY_IN_USE',
      `${directory} is of a pool that etcd coordinates; make that one known by pool join`,
    );
  }
  if (identity.store !== storeKind) {
    throw new TapdiskError(
      'POOL_DIRECTORY_IN_USE',
      `${directory} is a pool with a ${identity.store} store already, not ${storeKind}; ` +
        'choose another directory',
    );
  }
  if (existing) return identity;
  const coordination = await openLocalCoordination({ directory });
  try {
    const names = await coordination.names();
    if (names.length === 0) return identity;
    throw new TapdiskError(
      'POOL_DIRECTORY_IN_USE',
      `${directory} is a pool with volumes already (${names.length}); ` +
        'give --existing to take it over with them, or choose another directory',
    );
  } finally {
    await coordination.close();
  }
}

async function initialise(directory: string, storeKind: string): Promise<PoolIdentity> {
  const { volumes, creating, deleted, lock, layerCounter } = localLayout(directory);
  const ours = [volumes, creating, deleted, lock, layerCounter];
  for (const name of await readdir(directory)) {
    const isLeftOver = ours.includes(`${directory}/${name}`) || name.startsWith(TEMPORARY_PREFIX);
    if (isLeftOver || name === 'lost+found') continue;
    throw new TapdiskError(
      'POOL_DIRECTORY_NOT_EMPTY',
      `${directory} is not empty (it has "${name}"); give a new or an empty directory`,
    );
  }
  await initLocalDirectory(directory);
  const identity: PoolIdentity = {
    uuid: randomUUID(),
    store: storeKind,
    coordination: 'local',
    createdAt: new Date().toISOString(),
  };
  await writePoolIdentity(directory, identity);
  return identity;
}
