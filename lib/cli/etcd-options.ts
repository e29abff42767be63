/** The options by which `pool create` and `pool join` name an etcd cluster. */
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import type { ClusterConfig } from '../etcd/cluster-config';
import { clusterAccess } from '../etcd/cluster-config';
import { UsageError } from './failure';

export interface EtcdOptions {
  etcd: string | undefined;
  'etcd-prefix': string | undefined;
  'etcd-ca': string | undefined;
  'etcd-cert': string | undefined;
  'etcd-key': string | undefined;
  'etcd-user': string | undefined;
  'etcd-password-file': string | undefined;
  'lease-ttl': number | undefined;
  'take-over-wait': number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** None of them carries a secret: those are in files, or in the environment. */
export function etcdOptions<Before>(yargs: Argv<Before>): Argv<Before & EtcdOptions> {
  const text = { type: 'string', requiresArg: true } as const;
  const seconds = { type: 'number', requiresArg: true } as const;
  return yargs
    .option('etcd', { ...text, describe: 'Members, by commas: https://a:2379,https://b:2379' })
    .option('etcd-prefix', { ...text, describe: 'Of its keys; /tapdisk-ts/NAME/ unless told' })
    .option('etcd-ca', { ...text, describe: "FILE of the authority of the members' certificates" })
    .option('etcd-cert', { ...text, describe: "FILE of this host's certificate" })
    .option('etcd-key', { ...text, describe: 'FILE of its key' })
    .option('etcd-user', { ...text, describe: 'User of the cluster' })
    .option('etcd-password-file', { ...text, describe: 'FILE of the password, mode 0600' })
    .option('lease-ttl', {
      ...seconds,
      describe: 'SECONDS after which a silent owner loses a volume',
    })
    .option('take-over-wait', {
      ...seconds,
      describe: "SECONDS to wait for a dead owner's last writes, of a directory store",
    });
}

/** @throws TapdiskError ETCD_CONFIG_INVALID; UsageError where no cluster is named */
export function clusterOf(name: string, options: EtcdOptions, env: Environment): ClusterConfig {
  const members = options.etcd ?? env.TAPDISK_TS_ETCD_ENDPOINTS;
  if (members === undefined || members === '') throw new UsageError('name the members with --etcd');
  const tls = {
    ...file('caFile', options['etcd-ca']),
    ...file('certFile', options['etcd-cert']),
    ...file('keyFile', options['etcd-key']),
  };
  const user = options['etcd-user'];
  const config = {
    endpoints: members.split(',').map((member) => member.trim()),
    prefix: options['etcd-prefix'] ?? `/tapdisk-ts/${name}/`,
    ...(Object.keys(tls).length > 0 && { tls }),
    ...(user !== undefined && { user }),
    ...file('passwordFile', options['etcd-password-file']),
  } as ClusterConfig;
  // Refuses what is wrong, before anything is asked or written.
  clusterAccess(config, env);
  return config;
}

export function timesOf(options: EtcdOptions): {
  readonly leaseTtlMs: number | undefined;
  readonly takeOverWaitMs: number | undefined;
} {
  const inMs = (seconds: number | undefined): number | undefined =>
    seconds === undefined ? undefined : Math.round(seconds * 1000);
  return {
    leaseTtlMs: inMs(options['lease-ttl']),
    takeOverWaitMs: inMs(options['take-over-wait']),
  };
}

function file<Name extends string>(
  name: Name,
  path: string | undefined,
): Partial<Record<Name, string>> {
  return path === undefined ? {} : ({ [name]: resolve(path) } as Record<Name, string>);
}
