/** Opens a pool by its name: finds what this host knows of it, and opens it by its kind. */
import type { Coordination } from '../coordination/coordination';
import type { EtcdCoordination } from '../coordination/etcd/etcd-coordination';
import { checkName } from '../coordination/name';
import type { Etcd } from '../etcd/etcd';
import type { ChunkStore } from '../store/chunk-store';
import { poolsDirectory } from './config-directory';
import { isEtcdPool, listPoolNames, readPoolConfig } from './pool-config';
import { loadStoreKind, type OpenStore } from './store-kinds';

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
    ? etcdPools().openEtcdPool(name, config, setting)
    : localPools().openLocalPool(name, config, setting);
}

/**
 * Loads what the pools that this host knows are opened with, for a process that may open one long
 * after it began. A pool whose file is damaged is left out: whoever opens it is told.
 */
export async function loadPools({ env, uid }: PoolSetting = {}): Promise<void> {
  const directory = poolsDirectory(env, uid);
  for (const name of await listPoolNames(directory)) {
    const config = await readPoolConfig(directory, name).catch(() => null);
    if (config === null) continue;
    loadStoreKind(config.store.kind);
    if (!isEtcdPool(config)) {
      localPools();
      continue;
    }
    etcdPools().loadEtcdClient();
  }
}

/* eslint-disable @typescript-eslint/no-require-imports -- imports would load etcd coordination for
   pools of one host, which most processes see alone (docs/architecture.md, What is loaded when) */
const localPools = (): typeof import('./open-local-pool') =>
  require('./open-local-pool') as typeof import('./open-local-pool');
const etcdPools = (): typeof import('./open-etcd-pool') =>
  require('./open-etcd-pool') as typeof import('./open-etcd-pool');
/* eslint-enable @typescript-eslint/no-require-imports */
