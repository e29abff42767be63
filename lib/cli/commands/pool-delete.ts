/** `tapdisk-ts pool delete`: removes a pool, or only forgets it. */
import { poolsDirectory } from '../../pool/config-directory';
import { deletePool } from '../../pool/delete-pool';
import { isEtcdPool, readPoolConfig } from '../../pool/pool-config';
import { defineCommand } from '../command';
import { confirm } from '../confirm';
import { UsageError } from '../failure';
import { startProgress, type Progress } from '../progress';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts pool delete main', 'Delete a pool without volumes'],
    ['tapdisk-ts pool delete main --force --yes', 'Delete it with its volumes, unasked'],
    ['tapdisk-ts pool delete main --forget', 'Forget it on this host; it stays as it is'],
  ],
  options: (yargs) =>
    yargs
      .positional('pool', { type: 'string', demandOption: true, describe: 'Name of a pool' })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Delete its volumes and their data too',
      })
      .option('keep-data', {
        type: 'boolean',
        alias: 'forget',
        default: false,
        describe: 'Forget the pool on this host, and leave it as it is',
      })
      .option('yes', { type: 'boolean', alias: 'y', default: false, describe: 'Do not ask' }),
  async run({ pool: name, force, keepData, yes }, context) {
    const { io, output } = context;
    if (force && keepData) throw new UsageError('give --force or --keep-data, not both');
    const config = await readPoolConfig(poolsDirectory(io.env), name);
    const place = isEtcdPool(config) ? config.coordination.cluster.prefix : config.store.path;
    if (force) await confirm(context, yes, `Delete pool ${name} (${place}) and all volumes?`);
    let bar: Progress | null = null;
    const progress = (done: number, total: number): void => {
      bar ??= startProgress(context, { label: `deleting pool ${name}`, total, unit: 'volumes' });
      bar.update(done);
    };
    try {
      await deletePool({ name, force, keepData, progress }, { env: io.env });
    } finally {
      (bar as Progress | null)?.stop();
    }
    const what = keepData
      ? `forgot pool ${name}; its data stays in ${place}`
      : `deleted pool ${name}`;
    output.result({ [keepData ? 'forgotten' : 'deleted']: name }, what);
  },
});
