/** Makes a pool in an etcd cluster, or makes one that is there known on this host. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { TEMPORARY_PREFIX } from '../coordination/local/durable-file';
import { checkName } from '../coordination/name';
import { TapdiskError } from '../errors';
import { BootClock } from '../etcd/boot-clock';
import type { ClusterConfig } from '../etcd/cluster-config';
import { openEtcd } from '../etcd/open-etcd';
import { checkPoolDirectory, makePoolDirectory } from './check-directory';
import {
  claimPrefix,
  type ClusterIdentity,
  type PoolCluster,
  readClusterIdentity,
} from './cluster-identity';
import { poolsDirectory } from './config-directory';
import { resumeWipe } from './delete-pool';
import { checkStoreDirectory, notInCluster } from './open-etcd-pool';
import type { PoolSetting } from './open-pool';
import {
  ETCD_POOL_CONFIG_VERSION,
  type EtcdPoolConfig,
  listPoolNames,
  writePoolConfig,
} from './pool-config';
import { POOL_IDENTITY_FILE, readPoolIdentity, writePoolIdentity } from './pool-identity';

export interface EtcdPool {
  readonly name: string;
  readonly cluster: ClusterConfig;
  readonly leaseTtlMs?: number | undefined;
  readonly takeOverWaitMs?: number | undefined;
  /** Of the chunks, where they are not in etcd. */
  readonly path?: string | undefined;
}

/**
 * The directory's identity first, the cluster's next, this host's file last: cut short anywhere, the
 * same command goes on.
 *
 * @throws TapdiskError POOL_EXISTS, CLUSTER_POOL_EXISTS, STORE_PATH_INVALID, POOL_DIRECTORY_IN_USE,
 * POOL_DIRECTORY_NOT_EMPTY, POOL_PARENT_MISSING, POOL_DIRECTORY_FOREIGN, and those of openEtcd
 */
export async function createEtcdPool(
  pool: EtcdPool & { readonly storeKind: 'dir' | 'etcd' },
  setting: PoolSetting = {},
): Promise<EtcdPoolConfig> {
  const { name, storeKind } = pool;
  const path = checkPath(pool, storeKind);
  await checkFreeName(name, setting);
  return withCluster(pool, setting, async (cluster) => {
    const there = await readClusterIdentity(cluster);
    if (there !== null) throw prefixInUse(pool);
    const fresh = { uuid: randomUUID(), store: storeKind, createdAt: new Date().toISOString() };
    const identity = path === null ? fresh : await makeStoreDirectory(path, fresh, setting);
    if (!(await claimPrefix(cluster, identity))) throw prefixInUse(pool);
    return know(pool, identity, path, setting);
  });
}

/**
 * Takes the identity from the cluster, and checks that the directory is of the same pool.
 *
 * @throws TapdiskError POOL_EXISTS, CLUSTER_POOL_NOT_FOUND, STORE_PATH_INVALID, POOL_MISMATCH,
 * POOL_DIRECTORY_MISSING, POOL_DIRECTORY_FOREIGN, and those of openEtcd
 */
export async function joinEtcdPool(
  pool: EtcdPool,
  setting: PoolSetting = {},
): Promise<EtcdPoolConfig> {
  await checkFreeName(pool.name, setting);
  return withCluster(pool, setting, async (cluster) => {
    const identity = await readClusterIdentity(cluster);
    if (identity === null) throw notInCluster(pool.cluster.prefix);
    const path = checkPath(pool, identity.store);
    if (path !== null) await checkStoreDirectory(pool.name, path, identity.uuid, setting.uid);
    return know(pool, identity, path, setting);
  });
}

/** The store's directory; null of a store that has none. */
function checkPath({ path }: EtcdPool, storeKind: 'dir' | 'etcd'): string | null {
  if (storeKind === 'etcd' && path !== undefined) {
    throw new TapdiskError(
      'STORE_PATH_INVALID',
      `the chunks of this pool are in etcd, so ${path} would hold nothing; leave --path away`,
    );
  }
  if (storeKind === 'dir' && path === undefined) {
    throw new TapdiskError(
      'STORE_PATH_INVALID',
      'the chunks of this pool are in a directory that every host mounts; give its --path',
    );
  }
  return path === undefined ? null : resolve(path);
}

async function checkFreeName(name: string, setting: PoolSetting): Promise<void> {
  checkName('pool', name);
  if (!(await listPoolNames(poolsDirectory(setting.env, setting.uid))).includes(name)) return;
  throw new TapdiskError(
    'POOL_EXISTS',
    `pool "${name}" exists already; choose another name, or delete it first`,
  );
}

async function withCluster<Result>(
  { cluster: config }: EtcdPool,
  { env = process.env }: PoolSetting,
  use: (cluster: PoolCluster) => Promise<Result>,
): Promise<Result> {
  const clock = new BootClock();
  const etcd = await openEtcd(config, env, { clock });
  try {
    return await use({ etcd, clock });
  } finally {
    await etcd.close();
  }
}

async function know(
  { name, cluster, leaseTtlMs, takeOverWaitMs }: EtcdPool,
  { uuid, store }: ClusterIdentity,
  path: string | null,
  setting: PoolSetting,
): Promise<EtcdPoolConfig> {
  const config: EtcdPoolConfig = {
    version: ETCD_POOL_CONFIG_VERSION,
    uuid,
    store: store === 'dir' ? { kind: 'dir', path: path! } : { kind: 'etcd' },
    coordination: { kind: 'etcd', leaseTtlMs, takeOverWaitMs, cluster },
  };
  await writePoolConfig(poolsDirectory(setting.env, setting.uid), name, config);
  return config;
}

/** A directory whose pool the cluster does not know was made by a command that was cut short. */
async function makeStoreDirectory(
  path: string,
  fresh: ClusterIdentity,
  setting: PoolSetting,
): Promise<ClusterIdentity> {
  await makePoolDirectory(path);
  await checkPoolDirectory(path, setting.uid);
  await resumeWipe(path);
  const names = await readdir(path);
  if (names.includes(POOL_IDENTITY_FILE)) {
    const { uuid, store, coordination, createdAt } = await readPoolIdentity(path);
    if (store === 'dir' && coordination === 'etcd') return { uuid, store, createdAt };
    throw new TapdiskError(
      'POOL_DIRECTORY_IN_USE',
      `${path} is a pool of one host already; choose another directory`,
    );
  }
  const foreign = names.find((name) => !name.startsWith(TEMPORARY_PREFIX) && name !== 'lost+found');
  if (foreign !== undefined) {
    throw new TapdiskError(
      'POOL_DIRECTORY_NOT_EMPTY',
      `${path} is not empty (it has "${foreign}"); give a new or an empty directory`,
    );
  }
  await writePoolIdentity(path, { ...fresh, coordination: 'etcd' });
  return fresh;
}

function prefixInUse({ name, cluster: { prefix } }: EtcdPool): TapdiskError {
  return new TapdiskError(
    'CLUSTER_POOL_EXISTS',
    `the etcd cluster has a pool below ${prefix} already; pool join ${name} makes it known here, ` +
      'or choose another --etcd-prefix',
  );
}
