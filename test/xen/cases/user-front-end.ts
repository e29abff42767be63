/** A front end in a guest's user space (guest/front32.c), which does what its Linux would not do here. */
import { XVDB } from '../lab/back-end';
import { type Case, PLUGGED, type Site } from '../lab/case';
import { pidOf } from '../lab/daemon';
import type { Guest } from '../lab/guest';

const CONTENT = '/tmp/content';
const CONTENT_MIB = 4;

/** A disk that the guest's own driver leaves alone. */
async function plugBare(site: Site, volume: string): Promise<Guest> {
  const guest = await site.plug(volume);
  await guest.sh('modprobe xen-gntalloc && modprobe xen-evtchn');
  await guest.sh(`dd if=/dev/urandom of=${CONTENT} bs=1M count=${CONTENT_MIB} 2>/dev/null`);
  await guest.sh(`echo vbd-${XVDB} >/sys/bus/xen/drivers/vbd/unbind`);
  return guest;
}

const front32 = (guest: Guest, words: string): Promise<string> =>
  guest.sh(`front32 ${XVDB} ${CONTENT} ${words}`);

/** The ring's other layout. What was written through it is read through that of 64 bits. */
export const x8632: Case = async (site) => {
  const volume = await site.volume('16M');
  const guest = await plugBare(site, volume);
  const output = await front32(guest, 'write close');
  const log = `/run/tapdisk-ts/${volume.replace('/', '.')}.log`;
  await site.lab.dom0(`grep '"abi":"x86_32"' ${log}`);
  await site.unplug();
  await site.plug(volume);
  await guest.sh(`cmp -n $((${CONTENT_MIB} << 20)) ${PLUGGED} ${CONTENT}`);
  await site.unplug();
  const requests = /(\d+) requests/.exec(output)?.[1];
  return `${requests} requests by x86_32-abi, indirect, plain, flush and discard: ${CONTENT_MIB} MiB compared, by blkfront, too`;
};

/** As after kexec: what was connected is gone, and the next resets the device and connects anew. */
export const comesAgain: Case = async (site) => {
  const { lab } = site;
  const guest = await plugBare(site, await site.volume('16M'));
  const pid = await pidOf(lab, guest);
  await front32(guest, 'write vanish');
  const output = await front32(guest, 'read close');
  if (!output.includes('the back end is in state 4')) throw new Error(output);
  if ((await pidOf(lab, guest)) !== pid) throw new Error('another process serves the disk');
  await site.unplug();
  return `vanished without closing; Closing, Closed, Initialising, rings anew: ${CONTENT_MIB} MiB compared`;
};
