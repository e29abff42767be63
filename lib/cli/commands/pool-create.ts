/** `tapdisk-ts pool create`: a new pool, of one host or of a cluster, or an existing directory. */
import { createEtcdPool } from '../../pool/create-etcd-pool';
import { createPool } from '../../pool/create-pool';
import { STORE_KIND_DEFAULT, STORE_KIND_NAMES } from '../../pool/store-kinds';
import { defineCommand } from '../command';
import { clusterOf, etcdOptions, timesOf } from '../etcd-options';
import { UsageError } from '../failure';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts pool create main --path /srv/tapdisk', 'A pool of this host named main'],
    ['tapdisk-ts pool create main --path /srv/tapdisk --existing', 'One that is there already'],
    [
      'tapdisk-ts pool create main --path /mnt/shared/chunks --etcd http://a:2379,http://b:2379',
      'One of several hosts, on a directory that all of them mount',
    ],
    [
      'tapdisk-ts pool create small --store etcd --etcd http://a:2379',
      'Small volumes, all in etcd',
    ],
  ],
  options: (yargs) =>
    etcdOptions(
      yargs
        .positional('name', { type: 'string', demandOption: true, describe: 'Name of the pool' })
        .option('path', {
          type: 'string',
          requiresArg: true,
          describe: 'Directory, new or empty',
        })
        .option('store', {
          type: 'string',
          requiresArg: true,
          default: STORE_KIND_DEFAULT,
          describe: `Kind of chunk store: ${STORE_KIND_NAMES.join(', ')}, or etcd (memory and null keep nothing)`,
        })
        .option('existing', {
          type: 'boolean',
          default: false,
          describe: 'Take over a pool of one host that is in the directory, with its volumes',
        }),
    ),
  async run(options, { io, output }) {
    const { name, path, store, existing } = options;
    if (options.etcd !== undefined) {
      if (existing) throw new UsageError('a pool of a cluster that is there is taken by pool join');
      if (store !== 'dir' && store !== 'etcd') {
        throw new UsageError('the store of a pool of several hosts is dir or etcd');
      }
      const cluster = clusterOf(name, options, io.env);
      const pool = { name, cluster, path, storeKind: store, ...timesOf(options) } as const;
      const config = await createEtcdPool(pool, { env: io.env });
      output.result({ name, ...config }, `created pool ${name} below ${cluster.prefix} in etcd`);
      return;
    }
    if (store === 'etcd') throw new UsageError('--store etcd needs --etcd');
    if (path === undefined) throw new UsageError('give the --path of its directory');
    const pool = { name, path, storeKind: store, existing };
    const config = await createPool(pool, { env: io.env });
    output.result({ name, ...config }, `created pool ${name} in ${config.store.path}`);
  },
});
