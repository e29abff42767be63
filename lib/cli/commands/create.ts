/** `tapdisk-ts create`: a new, empty, thin volume. */
import { addMarker } from '../../host/volume-markers';
import { defineCommand } from '../command';
import { formatSize, parseSize } from '../sizes';
import { VOLUME_OPTION } from '../volume-option';
import { withChangingPool } from '../with-pool';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts create main/disk1 --size 10G', 'A volume of 10 GiB in pool main'],
    ['tapdisk-ts create main/db --size 8TiB --chunk-size 1M', 'One with smaller chunks'],
  ],
  options: (yargs) =>
    yargs
      .positional('volume', VOLUME_OPTION)
      .option('size', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'Size: 2097152, 512M, 10G, 1.5T, … (powers of 1024)',
        coerce: parseSize,
      })
      .option('chunk-size', {
        type: 'string',
        requiresArg: true,
        describe: 'Bytes of a chunk: a power of two from 64K to 64M (4M unless told; in etcd 64K)',
        coerce: (text: string | undefined) => (text === undefined ? undefined : parseSize(text)),
      }),
  run: ({ volume: { pool: poolName, volume }, size, chunkSize }, context) =>
    withChangingPool(poolName, context, async (pool) => {
      const chunkBytes = chunkSize ?? pool.chunkBytesDefault;
      const wanted = { name: volume, sizeBytes: size, chunkBytes };
      pool.checkVolume(wanted);
      const record = await pool.coordination.create(wanted);
      addMarker(context.io.env, poolName, volume);
      context.output.result(
        { pool: poolName, ...record },
        `created ${poolName}/${volume}: ${formatSize(size)} in chunks of ${formatSize(chunkBytes)}`,
      );
    }),
});
