/** `tapdisk-ts pool create`: a new pool in a directory, or an existing one made known here. */
import { createPool } from '../../pool/create-pool';
import { STORE_KIND_DEFAULT, STORE_KIND_NAMES } from '../../pool/store-kinds';
import { defineCommand } from '../command';

export const poolCreate = defineCommand({
  usage: 'create <name>',
  summary: 'Create a pool in a directory',
  examples: [
    ['tapdisk-ts pool create main --path /srv/tapdisk', 'A pool named main'],
    ['tapdisk-ts pool create main --path /srv/tapdisk --existing', 'One that is there already'],
  ],
  options: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'Name of the pool' })
      .option('path', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'Directory, new or empty',
      })
      .option('store', {
        type: 'string',
        requiresArg: true,
        default: STORE_KIND_DEFAULT,
        describe: `Kind of chunk store: ${STORE_KIND_NAMES.join(', ')} (all but dir keep nothing)`,
      })
      .option('existing', {
        type: 'boolean',
        default: false,
        describe: 'Take over a pool that is in the directory, with its volumes',
      }),
  async run({ name, path, store, existing }, { io, output }) {
    const pool = { name, path, storeKind: store, existing };
    const config = await createPool(pool, { env: io.env });
    output.result({ name, ...config }, `created pool ${name} in ${config.store.path}`);
  },
});
