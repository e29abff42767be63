/** `tapdisk-ts info`: everything that is known of one volume. */
import { chunkCountOf } from '../../coordination/volume-geometry';
import { defineCommand } from '../command';
import { formatSize } from '../sizes';
import { VOLUME_OPTION } from '../volume-option';
import { formatOwner, StoresForQuestions } from '../volume-summary';
import { withPool } from '../with-pool';

export const command = defineCommand({
  examples: [['tapdisk-ts info main/disk1', 'Everything about volume disk1 of pool main']],
  options: (yargs) => yargs.positional('volume', VOLUME_OPTION),
  run: ({ volume: { pool: poolName, volume } }, context) =>
    withPool(poolName, context, async (pool) => {
      const stores = new StoresForQuestions(pool);
      try {
        const summary = await stores.summarise(volume);
        const ownedChunks = await pool.coordination.countChunks(volume);
        const chunks = chunkCountOf(summary.sizeBytes, summary.chunkBytes);
        const { owner } = summary;
        context.output.facts({ ...summary, chunks, ownedChunks }, [
          ['volume', `${poolName}/${volume}`],
          ['uuid', summary.uuid],
          ['size', `${formatSize(summary.sizeBytes)} (${summary.sizeBytes} bytes)`],
          ['used', formatSize(summary.usedBytes)],
          ['chunk size', formatSize(summary.chunkBytes)],
          ['chunks', `${ownedChunks} of ${chunks} written`],
          ['layer', String(summary.layer)],
          ['frozen layers', summary.frozenLayers.join(', ') || 'none'],
          ['epoch', String(summary.epoch)],
          ['attached', owner === null ? 'no' : `${formatOwner(owner)} since ${owner.attachedAt}`],
          ['created', summary.createdAt],
        ]);
      } finally {
        await stores.close();
      }
    }),
});
