/** A disk and a CD-ROM that their guest may only read. */
import { type Case, diskLine } from '../lab/case';

const BYTES = 4 * 2 ** 20;

export const readOnly: Case = async (site) => {
  const volume = await site.volume('16M');
  const writer = await site.plug(volume);
  await writer.sh(`dd if=/dev/urandom of=/tmp/written bs=64k count=${BYTES / 65536} 2>/dev/null`);
  await writer.sh('dd if=/tmp/written of=/dev/xvdb bs=64k oflag=direct 2>/dev/null');
  const sum = await writer.sh('sha256sum </tmp/written; rm /tmp/written');
  await site.unplug();
  const told: string[] = [];
  for (const [what, line] of [
    ['disk', diskLine(volume, 'xvda', 'ro')],
    ['CD-ROM', diskLine(volume, 'xvda', 'ro,devtype=cdrom')],
  ] as const) {
    const guest = await site.guest({ disks: [line] });
    const read = await guest.sh(`head -c ${BYTES} /dev/xvda | sha256sum`);
    if (read !== sum) throw new Error(`the ${what} reads as ${read} instead of ${sum}`);
    const { status } = await guest.run('dd if=/dev/zero of=/dev/xvda bs=64k count=1 oflag=direct');
    if (status === 0) throw new Error(`the ${what} was written to`);
    await guest.shutDown();
    told.push(what);
  }
  return `${told.join(' and ')}: read and compared, writes refused`;
};
