/** A guest that goes and comes again: by xl save and restore, and after dom0's power was cut. */
import { type Case, PLUGGED, sharedGuest } from '../lab/case';
import { startDaemon } from '../lab/daemon';
import { makeAndFill, remountAndCompare } from './file-system';

export const saveRestore: Case = async (site) => {
  const guest = await site.plug(await site.volume('64M'));
  await makeAndFill(guest, PLUGGED);
  await guest.save('/data/saved');
  await guest.restore('/data/saved');
  await remountAndCompare(guest, PLUGGED);
  await guest.sh(`dd if=/dev/zero of=${PLUGGED} bs=64k count=16 oflag=direct 2>/dev/null`);
  await site.unplug();
  await site.lab.dom0('rm /data/saved');
  return 'saved with its file system mounted, restored, compared and checked';
};

const FILE = '/mnt/synced';

export const powerCut: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('64M');
  const first = await site.plug(volume);
  await first.sh(`mke2fs -q -F -t ext4 ${PLUGGED} && mount -t ext4 ${PLUGGED} /mnt`);
  await first.sh(`dd if=/dev/urandom of=${FILE} bs=64k count=64 conv=fsync 2>/dev/null`);
  const sum = await first.sh(`sha256sum <${FILE}`);
  await lab.powerCut();
  await Promise.all([startDaemon(lab), sharedGuest(lab)]);
  const second = await site.plug(volume);
  await second.sh(`mount -t ext4 ${PLUGGED} /mnt`);
  const after = await second.sh(`sha256sum <${FILE}`);
  if (after !== sum) throw new Error(`the synced file was ${sum}, and is ${after}`);
  await second.sh(`umount /mnt && e2fsck -fn ${PLUGGED}`);
  await site.unplug();
  return '4 MiB that a guest had synced are there after the power was cut; fsck clean';
};
