/** `tapdisk-ts pool join`: makes a pool of a cluster known on this host. */
import { joinEtcdPool } from '../../pool/create-etcd-pool';
import { defineCommand } from '../command';
import { clusterOf, etcdOptions, timesOf } from '../etcd-options';

export const command = defineCommand({
  examples: [
    [
      'tapdisk-ts pool join main --path /mnt/shared/chunks --etcd http://a:2379,http://b:2379',
      'With the options that it was created with',
    ],
  ],
  options: (yargs) =>
    etcdOptions(
      yargs
        .positional('name', { type: 'string', demandOption: true, describe: 'Name of the pool' })
        .option('path', {
          type: 'string',
          requiresArg: true,
          describe: 'Where this host has mounted the directory of its chunks',
        }),
    ),
  async run(options, { io, output }) {
    const { name, path } = options;
    const cluster = clusterOf(name, options, io.env);
    const config = await joinEtcdPool(
      { name, cluster, path, ...timesOf(options) },
      { env: io.env },
    );
    output.result({ name, ...config }, `joined pool ${name} below ${cluster.prefix} in etcd`);
  },
});
