/** Opens a pool by its name: finds its directory or cluster, and checks that it is the one meant. */
import type { Coordination } from '../coordination/coordination';
import type { EtcdCoordination } from '../coordination/etcd/etcd-coordination';
import { CHUNK_BYTES_DEFAULT } from '../coordination/limits';
import { openLocalCoordination } from '../coordination/local/local-coordination';
import { checkName } from '../coordination/name';
import type { Etcd } from '../etcd/etcd';
import type { ChunkStore } from '../store/chunk-store';
import { checkPoolDirectory } from './check-directory';
import { poolsDirectory } from './config-directory';
import { mismatch } from './mismatch';
import { openEtcdPool } from './open-etcd-pool';
import { isEtcdPool, type LocalPoolConfig, readPoolConfig } from './pool-config';
import { readPoolIdentity } from './pool-identity';
import { checkStoreKind, openStoreOfKind, type OpenStore } from './store-kinds';

export interface NewVolume {
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
}

export interface Pool {
  readonly name: string;
  readonly uuid: string;
  readonly storeKind: string;
  /** Where its store is; null where that is in etcd. */
  readonly directory: string | null;
  readonly createdAt: string;
  readonly coordination: Coordination;
  /** What coordinates it, where that is etcd. */
  readonly cluster: { readonly etcd: Etcd; readonly coordination: EtcdCoordination } | null;
  /** Of a volume for which none is asked for. */
  readonly chunkBytesDefault: number;
  /** @throws TapdiskError where the store takes no such volume */
  checkVolume(volume: NewVolume): void;
  /** Its stores write by the right of an attachment, so none can be opened beforehand. */
  readonly storeNeedsAttachment: boolean;
  /** A store for the volumes with chunks of this size; whoever opens it closes it. */
  openStore(options: OpenStore): Promise<ChunkStore>;
  /** Releases what is still attached. */
  close(): Promise<void>;
}

export interface PoolSetting {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Who asks; this process's user unless told. */
  readonly uid?: number;
}

/**
 * @throws TapdiskError POOL_NOT_FOUND, POOL_DIRECTORY_MISSING, POOL_DIRECTORY_FOREIGN,
 * POOL_MISMATCH, CLUSTER_POOL_NOT_FOUND, STORE_KIND_UNKNOWN, POOL_CONFIG_… or POOL_IDENTITY_…
 * CORRUPT, VERSION_UNKNOWN, and those of openEtcd
 */
export async function openPool(name: string, setting: PoolSetting = {}): Promise<Pool> {
  checkName('pool', name);
  const config = await readPoolConfig(poolsDirectory(setting.env, setting.uid), name);
  return isEtcdPool(config)
    ? openEtcdPool(name, config, setting)
    : openLocalPool(name, config, setting);
}

async function openLocalPool(
  name: string,
  config: LocalPoolConfig,
  setting: PoolSetting,
): Promise<Pool> {
  const directory = config.store.path;
  await checkPoolDirectory(directory, setting.uid);
  const identity = await readPoolIdentity(directory);
  if (
    identity.uuid !== config.uuid ||
    identity.store !== config.store.kind ||
    identity.coordination !== 'local'
  ) {
    throw mismatch(name, directory, identity, { uuid: config.uuid, store: config.store.kind });
  }
  checkStoreKind(identity.store);
  const coordination = await openLocalCoordination({ directory: config.coordination.path });
  return {
    name,
    uuid: identity.uuid,
    storeKind: identity.store,
    directory,
    createdAt: identity.createdAt,
    coordination,
    cluster: null,
    chunkBytesDefault: CHUNK_BYTES_DEFAULT,
    checkVolume: () => undefined,
    storeNeedsAttachment: false,
    openStore: async (options) => openStoreOfKind(identity.store, directory, options),
    close: () => coordination.close(),
  };
}
