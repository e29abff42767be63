/** `tapdisk-ts delete`: removes a volume and gives its space back. */
import { deleteVolume } from '../../pool/delete-volume';
import { defineCommand } from '../command';
import { confirm } from '../confirm';
import { startProgress } from '../progress';
import { formatSize } from '../sizes';
import { VOLUME_OPTION } from '../volume-option';
import { withChangingPool } from '../with-pool';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts delete main/disk1', 'Asks first, on a terminal'],
    ['tapdisk-ts delete main/disk1 --yes', 'Does not ask'],
  ],
  options: (yargs) =>
    yargs
      .positional('volume', VOLUME_OPTION)
      .option('yes', { type: 'boolean', alias: 'y', default: false, describe: 'Do not ask' }),
  run: ({ volume: { pool: poolName, volume }, yes }, context) =>
    withChangingPool(poolName, context, async (pool) => {
      const address = `${poolName}/${volume}`;
      const { sizeBytes, frozenLayers } = await pool.coordination.read(volume);
      await confirm(context, yes, `Delete ${address} (${formatSize(sizeBytes)}) and all its data?`);
      const progress = startProgress(context, {
        label: `deleting ${address}`,
        total: frozenLayers.length + 1,
        unit: 'layers',
      });
      try {
        await deleteVolume(pool, volume, progress.update);
      } finally {
        progress.stop();
      }
      context.output.result({ deleted: address }, `deleted ${address}`);
    }),
});
