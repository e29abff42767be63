/** A disk and a CD-ROM that their guest may only read. */
import { type Case, PLUGGED } from '../lab/case';

const BYTES = 4 * 2 ** 20;
const KINDS = { disk: 'ro', 'CD-ROM': 'ro,devtype=cdrom' } as const;

export const readOnly: Case = async (site) => {
  const volume = await site.volume('16M');
  const writer = await site.plug(volume);
  await writer.sh(`dd if=/dev/urandom of=/tmp/written bs=64k count=${BYTES / 65536} 2>/dev/null`);
  await writer.sh(`dd if=/tmp/written of=${PLUGGED} bs=64k oflag=direct 2>/dev/null`);
  const sum = await writer.sh('sha256sum </tmp/written; rm /tmp/written');
  await site.unplug();
  for (const [kind, access] of Object.entries(KINDS)) {
    const guest = await site.plug(volume, access);
    const read = await guest.sh(`head -c ${BYTES} ${PLUGGED} | sha256sum`);
    if (read !== sum) throw new Error(`the ${kind} reads as ${read} instead of ${sum}`);
    const { status } = await guest.run(
      `dd if=/dev/zero of=${PLUGGED} bs=64k count=1 oflag=direct conv=notrunc`,
    );
    if (status === 0) throw new Error(`the ${kind} was written to`);
    await site.unplug();
  }
  return `${Object.keys(KINDS).join(' and ')}: read and compared, writes refused`;
};
