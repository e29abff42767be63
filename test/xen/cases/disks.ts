/** What a disk can do beside reading and writing: several of them, discard, another size. */
import { type Case, diskLine, PLUGGED } from '../lab/case';
import { markerOf } from '../lab/daemon';
import { fileSystemHolds, makeAndFill, remountAndCompare } from './file-system';

export const twoDisksTwoGuests: Case = async (site) => {
  const [scripted, plain] = [await site.volume('64M'), await site.volume('64M')];
  const marker = await markerOf(site.lab, plain);
  const disks = [diskLine(scripted, 'xvda'), `${marker},raw,xvdb,rw`];
  const two = await site.guest({ type: 'pvh', disks });
  const other = await site.plug(await site.volume('64M'));
  const one = async (): Promise<void> => {
    await fileSystemHolds(two, '/dev/xvda');
    await fileSystemHolds(two, '/dev/xvdb');
  };
  await Promise.all([one(), fileSystemHolds(other, PLUGGED)]);
  await site.unplug();
  await two.shutDown();
  return (
    'PVH guest with a disk by script= and one by a plain raw line, and a PV guest: ' +
    'three file systems, two at a time, compared and checked'
  );
};

export const discard: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('64M');
  const guest = await site.plug(volume);
  const chunks = async (): Promise<number> =>
    Number(/(\d+) of \d+ written/.exec(await lab.dom0(`tapdisk-ts info ${volume}`))?.[1]);
  await guest.sh(`/usr/bin/blkdiscard ${PLUGGED}`);
  await guest.sh(`dd if=/dev/urandom of=${PLUGGED} bs=1M count=32 oflag=direct 2>/dev/null`);
  const written = await chunks();
  await guest.sh(`/usr/bin/blkdiscard -o 0 -l $((24 << 20)) ${PLUGGED}`);
  const left = await chunks();
  await guest.sh(`head -c $((24 << 20)) /dev/zero | cmp -n $((24 << 20)) - ${PLUGGED}`);
  if (written !== 32 || left !== 8) throw new Error(`${written} chunks, after the discard ${left}`);
  await site.unplug();
  return `all discarded, ${written} chunks written, ${left} after 24 MiB were discarded, which read as zeros`;
};

export const resize: Case = async (site) => {
  const volume = await site.volume('64M', { spoilt: true });
  const guest = await site.plug(volume);
  await makeAndFill(guest, PLUGGED);
  await site.lab.dom0(`tapdisk-ts resize ${volume} 128M`);
  const grown = `[ "$(cat /sys/block/xvdb/size)" = 262144 ]`;
  await guest.sh(`for i in $(seq 100); do ${grown} && exit 0; sleep 0.1; done; exit 1`);
  await guest.sh(`resize2fs ${PLUGGED}`);
  const free = Number(await guest.sh(`df -m /mnt | awk 'NR == 2 { print $2 }'`));
  if (free < 100) throw new Error(`the file system has ${free} MiB after it was grown`);
  await remountAndCompare(guest, PLUGGED);
  await site.unplug();
  return `64 to 128 MiB under a mounted ext4, which grew to ${free} MiB; compared and checked`;
};
