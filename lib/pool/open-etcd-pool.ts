/** Opens a pool whose records, locks and maps are in an etcd cluster. */
import type { Attachment } from '../coordination/coordination';
import { EtcdAttachment } from '../coordination/etcd/etcd-attachment';
import { openEtcdCoordination } from '../coordination/etcd/etcd-coordination';
import { readHostIdentity } from '../coordination/etcd/host-identity';
import { CHUNK_BYTES_DEFAULT } from '../coordination/limits';
import { TapdiskError } from '../errors';
import { BootClock } from '../etcd/boot-clock';
import { Compactor } from '../etcd/compactor';
import { loadEtcdClient, openEtcd } from '../etcd/open-etcd';
import type { ChunkStore } from '../store/chunk-store';
import { type EtcdStoreOptions, openEtcdStore } from '../store/etcd/etcd-store';
import { checkEtcdVolume } from '../store/etcd/volume-size';
import { ETCD_CHUNK_BYTES } from '../store/limits';
import { checkPoolDirectory } from './check-directory';
import { type ClusterIdentity, type PoolCluster, readClusterIdentity } from './cluster-identity';
import { mismatch } from './mismatch';
import type { Pool, PoolSetting } from './open-pool';
import { type EtcdPoolConfig, storePathOf } from './pool-config';
import { readPoolIdentity } from './pool-identity';
import { openStoreOfKind, type OpenStore } from './store-kinds';

export { loadEtcdClient };

/** As openPool. */
export async function openEtcdPool(
  name: string,
  config: EtcdPoolConfig,
  setting: PoolSetting,
): Promise<Pool> {
  const directory = storePathOf(config);
  if (directory !== null) await checkStoreDirectory(name, directory, config.uuid, setting.uid);
  const { cluster, leaseTtlMs, takeOverWaitMs } = config.coordination;
  const env = setting.env ?? process.env;
  const clock = new BootClock();
  const etcd = await openEtcd(cluster, env, { clock });
  const compactor = new Compactor(etcd);
  try {
    const identity = await checkedIdentity(name, config, { etcd, clock });
    const inEtcd = config.store.kind === 'etcd';
    const coordination = openEtcdCoordination({
      etcd,
      clock,
      host: readHostIdentity(env),
      compactor,
      settings: {
        storeFences: inEtcd,
        ...(leaseTtlMs !== undefined && { leaseTtlMs }),
        ...(takeOverWaitMs !== undefined && { takeOverWaitMs }),
      },
    });
    const openInEtcd = ({ chunkBytes, attachment }: OpenStore): Promise<ChunkStore> =>
      openEtcdStore({
        etcd,
        clock,
        chunkBytes,
        ...rightOf(attachment),
        written: (valueBytes, revision) => compactor.written(valueBytes, revision),
      });
    return {
      name,
      uuid: identity.uuid,
      storeKind: config.store.kind,
      directory,
      createdAt: identity.createdAt,
      coordination,
      cluster: { etcd, coordination },
      chunkBytesDefault: inEtcd ? ETCD_CHUNK_BYTES : CHUNK_BYTES_DEFAULT,
      checkVolume: (volume) => {
        if (inEtcd) checkEtcdVolume(volume);
      },
      storeNeedsAttachment: inEtcd,
      openStore: async (options) =>
        directory === null ? openInEtcd(options) : openStoreOfKind('dir', directory, options),
      async close() {
        try {
          await coordination.close();
        } finally {
          await compactor.close();
          await etcd.close();
        }
      },
    };
  } catch (error) {
    await compactor.close();
    await etcd.close();
    throw error;
  }
}

/** The directory is mounted, and is this pool's. */
export async function checkStoreDirectory(
  name: string,
  directory: string,
  uuid: string,
  uid?: number,
): Promise<void> {
  await checkPoolDirectory(directory, uid);
  const found = await readPoolIdentity(directory);
  if (found.uuid === uuid && found.coordination === 'etcd') return;
  throw mismatch(name, directory, found, { uuid, store: 'dir' });
}

async function checkedIdentity(
  name: string,
  { uuid, store, coordination }: EtcdPoolConfig,
  cluster: PoolCluster,
): Promise<ClusterIdentity> {
  const found = await readClusterIdentity(cluster);
  if (found === null) throw notInCluster(coordination.cluster.prefix);
  if (found.uuid === uuid && found.store === store.kind) return found;
  throw mismatch(name, `etcd prefix ${coordination.cluster.prefix}`, found, {
    uuid,
    store: store.kind,
  });
}

export function notInCluster(prefix: string): TapdiskError {
  return new TapdiskError(
    'CLUSTER_POOL_NOT_FOUND',
    `the etcd cluster has no pool below ${prefix}; check endpoints and prefix, or create it`,
  );
}

/**
 * What the etcd store compares in its transactions, and whom it tells where that fails; without an
 * attachment nothing can be lost.
 */
export function rightOf(
  attachment: Attachment | undefined,
): Pick<EtcdStoreOptions, 'guard' | 'doubt' | 'fence'> {
  if (!(attachment instanceof EtcdAttachment)) return {};
  return {
    guard: () => attachment.guard(),
    doubt: (guard) => attachment.doubt(guard),
    fence: attachment.fence,
  };
}
