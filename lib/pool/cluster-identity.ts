/** What a cluster says of the pool below its prefix: the key `pool`. Format in docs/formats.md. */
import { z } from 'zod/v3';
import type { Clock } from '../clock';
import { makePoolKeys, readPoolKey } from '../coordination/etcd/pool-key';
import { parseJson } from '../coordination/versioned-json';
import type { Etcd } from '../etcd/etcd';

const CLUSTER_POOL_VERSION = 1;

const schema = z.strictObject({
  version: z.literal(CLUSTER_POOL_VERSION),
  uuid: z.string().uuid(),
  store: z.enum(['dir', 'etcd']),
  createdAt: z.string().datetime(),
});

export type ClusterIdentity = Readonly<Omit<z.infer<typeof schema>, 'version'>>;

/** A cluster as pools are looked after in it. */
export interface PoolCluster {
  readonly etcd: Etcd;
  readonly clock: Clock;
}

/**
 * Null where no pool is below the prefix.
 *
 * @throws TapdiskError CLUSTER_POOL_CORRUPT, CLUSTER_POOL_VERSION_UNKNOWN, and those of Etcd
 */
export async function readClusterIdentity({
  etcd,
  clock,
}: PoolCluster): Promise<ClusterIdentity | null> {
  const value = await readPoolKey(etcd, clock);
  if (value === null) return null;
  const { uuid, store, createdAt } = parseJson(value.toString('utf8'), schema, {
    path: 'etcd key pool',
    version: CLUSTER_POOL_VERSION,
    codePrefix: 'CLUSTER_POOL',
  });
  return { uuid, store, createdAt };
}

/** The last step of making a pool. Resolves to false where another is there. */
export function claimPrefix(
  { etcd, clock }: PoolCluster,
  { uuid, store, createdAt }: ClusterIdentity,
): Promise<boolean> {
  const value = { version: CLUSTER_POOL_VERSION, uuid, store, createdAt };
  return makePoolKeys(etcd, clock, Buffer.from(JSON.stringify(value)));
}
