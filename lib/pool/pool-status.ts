/** What is known of a pool at this moment, as far as it answers: for `pool status`. */
import { sentenceOf } from '../errors';
import type { Alarm, MemberStatus } from '../etcd/etcd';
import { openEtcd } from '../etcd/open-etcd';
import { storeFreeBytes } from '../store/dir/dir-store';
import { poolsDirectory } from './config-directory';
import { CLUSTER_ATTEMPT_MS } from './limits';
import { openPool, type Pool, type PoolSetting } from './open-pool';
import { isEtcdPool, type PoolConfig, readPoolConfig, storePathOf } from './pool-config';

/** A process that has a volume, or stands by for it. */
export interface PoolHolder {
  readonly volume: string;
  readonly host: string;
  readonly pid: number;
  readonly readOnly: boolean;
  readonly epoch: number;
  /** Null of a standby of a local pool, whose file does not say. */
  readonly attachedAt: string | null;
  /** Null where there is no lease, or it could not be asked for. */
  readonly leaseLeftMs: number | null;
}

export interface PoolStatus {
  readonly name: string;
  readonly uuid: string;
  readonly store: string;
  readonly coordination: string;
  readonly path: string | null;
  readonly freeBytes: number | null;
  /** Null of a pool of one host. */
  readonly cluster: {
    readonly prefix: string;
    /** Whether the cluster answers: what needs a majority was done just now. */
    readonly quorum: boolean;
    readonly members: readonly MemberStatus[];
    readonly alarms: readonly Alarm[];
  } | null;
  readonly owners: readonly PoolHolder[];
  readonly standbys: readonly PoolHolder[];
  readonly hosts: readonly { readonly host: string; readonly pids: readonly number[] }[];
  /** Why not all of it is known; empty where it is. */
  readonly failures: readonly string[];
}

/** @throws TapdiskError POOL_NOT_FOUND, POOL_CONFIG_…, and of openEtcd what is wrong with files */
export async function poolStatus(name: string, setting: PoolSetting = {}): Promise<PoolStatus> {
  const config = await readPoolConfig(poolsDirectory(setting.env, setting.uid), name);
  const failures: string[] = [];
  const attempt = async <Result>(
    work: () => Promise<Result>,
    otherwise: Result,
  ): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      failures.push(sentenceOf(error));
      return otherwise;
    }
  };
  const seen = await attempt(async () => {
    const pool = await openPool(name, setting);
    try {
      return await holdersOf(pool);
    } finally {
      await pool.close();
    }
  }, null);
  const path = storePathOf(config);
  return {
    name,
    uuid: config.uuid,
    store: config.store.kind,
    coordination: config.coordination.kind,
    path,
    freeBytes: path === null ? null : await attempt(() => storeFreeBytes(path), null),
    cluster: await clusterStatus(config, setting, attempt),
    ...(seen ?? { owners: [], standbys: [], hosts: [] }),
    failures,
  };
}

type Attempt = <Result>(work: () => Promise<Result>, otherwise: Result) => Promise<Result>;

async function clusterStatus(
  config: PoolConfig,
  { env = process.env }: PoolSetting,
  attempt: Attempt,
): Promise<PoolStatus['cluster']> {
  if (!isEtcdPool(config)) return null;
  const { cluster } = config.coordination;
  const call = { deadlineMs: CLUSTER_ATTEMPT_MS };
  const etcd = await openEtcd(cluster, env);
  try {
    const members = await etcd.members(call);
    // A read that every member but a majority would refuse to answer.
    const quorum = await etcd.range({ key: 'pool', countOnly: true }, call).then(
      () => true,
      () =>
        etcd.range({ key: 'pool', countOnly: true }, call).then(
          () => true,
          () => false,
        ),
    );
    const alarms = quorum ? await attempt(() => etcd.alarms(call), []) : [];
    return { prefix: cluster.prefix, quorum, members, alarms };
  } finally {
    await etcd.close();
  }
}

type Holders = Pick<PoolStatus, 'owners' | 'standbys' | 'hosts'>;

async function holdersOf(pool: Pool): Promise<Holders> {
  if (pool.cluster === null) return localHolders(pool);
  const { owners, readers, standbys, hosts } = await pool.cluster.coordination.view();
  return { owners: [...owners, ...readers], standbys, hosts };
}

async function localHolders({ coordination }: Pool): Promise<Holders> {
  const owners: PoolHolder[] = [];
  const standbys: PoolHolder[] = [];
  for (const volume of await coordination.names()) {
    const { epoch } = await coordination.read(volume);
    const common = { volume, epoch, leaseLeftMs: null };
    const owner = await coordination.owner(volume);
    if (owner !== null) owners.push({ ...common, ...owner });
    for (const standby of await coordination.standbys(volume)) {
      const at = standby.lastIndexOf(':');
      const [host, pid] = [standby.slice(0, at), Number(standby.slice(at + 1))];
      standbys.push({ ...common, host, pid, readOnly: false, attachedAt: null });
    }
  }
  return { owners, standbys, hosts: [] };
}
