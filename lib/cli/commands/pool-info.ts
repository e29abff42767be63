/** `tapdisk-ts pool info`: what is known of one pool, and how full it is. */
import { storeFreeBytes } from '../../store/dir/dir-store';
import { defineCommand } from '../command';
import { formatSize } from '../sizes';
import { StoresForQuestions } from '../volume-summary';
import { withPool } from '../with-pool';

export const command = defineCommand({
  examples: [['tapdisk-ts pool info main', 'Everything about pool main']],
  options: (yargs) =>
    yargs.positional('pool', { type: 'string', demandOption: true, describe: 'Name of a pool' }),
  run: ({ pool: name }, context) =>
    withPool(name, context, async (pool) => {
      const stores = new StoresForQuestions(pool);
      try {
        const names = await pool.coordination.names();
        let provisionedBytes = 0;
        let usedBytes = 0;
        for (const volume of names) {
          const summary = await stores.summarise(volume);
          provisionedBytes += summary.sizeBytes;
          usedBytes += summary.usedBytes;
        }
        const freeBytes = pool.directory === null ? null : await storeFreeBytes(pool.directory);
        const { uuid, storeKind, directory, createdAt } = pool;
        const told = {
          name,
          uuid,
          store: storeKind,
          coordination: pool.coordination.kind,
          path: directory,
          volumes: names.length,
          provisionedBytes,
          usedBytes,
          freeBytes,
          createdAt,
        };
        context.output.facts(told, [
          ['pool', name],
          ['uuid', uuid],
          ['store', storeKind],
          ['coordination', told.coordination],
          ['path', directory ?? '-'],
          ['volumes', String(names.length)],
          ['provisioned', formatSize(provisionedBytes)],
          ['used', formatSize(usedBytes)],
          ['free', freeBytes === null ? '-' : formatSize(freeBytes)],
          ['created', createdAt],
        ]);
      } finally {
        await stores.close();
      }
    }),
});
