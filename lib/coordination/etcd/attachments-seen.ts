/** Who is at the volumes of a cluster, for `pool status`. */
import type { EtcdContext } from './context';
import { seenHolder, type SeenHolder } from './holders';
import { HOSTS_PREFIX, LOCKS_PREFIX, READERS_PREFIX, STANDBYS_PREFIX } from './keys';
import { wholeRange } from './records';

/** A process at a volume. */
export interface ClusterHolder {
  readonly volume: string;
  readonly host: string;
  readonly pid: number;
  readonly readOnly: boolean;
  /** 0 of a standby. */
  readonly epoch: number;
  readonly attachedAt: string;
  /** Until its key ends if it is not heard of; null where that could not be asked, or is over. */
  readonly leaseLeftMs: number | null;
}

/** A host on which processes have volumes, or stand by. */
export interface ClusterHost {
  readonly host: string;
  /** In the order of their pids, each once. */
  readonly pids: readonly number[];
}

export interface ClusterView {
  readonly owners: readonly ClusterHolder[];
  readonly readers: readonly ClusterHolder[];
  readonly standbys: readonly ClusterHolder[];
  readonly hosts: readonly ClusterHost[];
}

/** @throws TapdiskError of etcd; ATTACH_HOLDER_CORRUPT, ATTACH_HOLDER_VERSION_UNKNOWN */
export async function viewCluster(context: EtcdContext): Promise<ClusterView> {
  const [owners, readers, standbys] = [
    await holdersBelow(context, LOCKS_PREFIX),
    await holdersBelow(context, READERS_PREFIX),
    await holdersBelow(context, STANDBYS_PREFIX),
  ];
  return { owners, readers, standbys, hosts: await listHosts(context) };
}

async function holdersBelow(context: EtcdContext, prefix: string): Promise<ClusterHolder[]> {
  const all: ClusterHolder[] = [];
  for (const { holder, leaseId } of await seenBelow(context, prefix)) {
    const { volume, host, pid, readOnly, epoch, attachedAt } = holder;
    const leaseLeftMs = await context
      .patiently((setting) => context.etcd.leaseTimeLeft(leaseId, setting))
      .catch(() => null);
    all.push({ volume, host, pid, readOnly, epoch, attachedAt, leaseLeftMs });
  }
  return all.sort((a, b) => (a.volume < b.volume ? -1 : a.volume > b.volume ? 1 : a.pid - b.pid));
}

async function listHosts(context: EtcdContext): Promise<ClusterHost[]> {
  const pidsOf = new Map<string, Set<number>>();
  for (const { holder } of await seenBelow(context, HOSTS_PREFIX)) {
    const pids = pidsOf.get(holder.host) ?? new Set();
    pidsOf.set(holder.host, pids.add(holder.pid));
  }
  return [...pidsOf]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([host, pids]) => ({ host, pids: [...pids].sort((a, b) => a - b) }));
}

async function seenBelow(context: EtcdContext, prefix: string): Promise<SeenHolder[]> {
  const seen: SeenHolder[] = [];
  await context.eachPage(wholeRange(prefix), (found) => {
    for (const keyValue of found) seen.push(seenHolder(keyValue));
  });
  return seen;
}
