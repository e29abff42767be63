/** `tapdisk-ts resize`: gives a volume another size, while its guest runs or without one. */
import { defineCommand } from '../command';
import { resizeVolume } from '../running/resize-volume';
import { formatSize, parseNewSize } from '../sizes';
import { VOLUME_OPTION } from '../volume-option';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts resize main/disk1 20G', 'To 20 GiB; a running guest is told'],
    ['tapdisk-ts resize main/disk1 +5G', 'By 5 GiB'],
    ['tapdisk-ts resize main/disk1 8G --allow-shrink', 'What lies behind 8 GiB is gone for good'],
  ],
  options: (yargs) =>
    yargs
      .positional('volume', VOLUME_OPTION)
      .positional('size', {
        type: 'string',
        demandOption: true,
        describe: 'The new size (20G, 1.5T, …), or +SIZE to add',
        coerce: parseNewSize,
      })
      .option('allow-shrink', {
        type: 'boolean',
        default: false,
        describe: 'Make it smaller, and lose what lies behind its new end',
      }),
  async run({ volume: address, size, allowShrink }, { io, output }) {
    const volume = `${address.pool}/${address.volume}`;
    const resized = await resizeVolume({ address, size, allowShrink, env: io.env });
    const { beforeBytes, sizeBytes, pid, guestTold } = resized;
    const change =
      beforeBytes === sizeBytes
        ? `${volume} has ${formatSize(sizeBytes)}`
        : `${volume} has ${formatSize(sizeBytes)} now, before ${formatSize(beforeBytes)}`;
    const served = pid === null ? '' : `; process ${pid} serves it, ${toldOf(guestTold)}`;
    output.result({ volume, ...resized }, change + served);
  },
});

function toldOf(guestTold: boolean): string {
  return guestTold ? 'and its guest was told' : 'and its user sees it when it connects anew';
}
