/** A volume beside a raw file on loop that the kernel's own back end serves, in one boot, in turns. */
import type { Case } from '../lab/case';
import { restartDaemon } from '../lab/daemon';
import type { Guest } from '../lab/guest';
import { fioRate, type Load } from './fio-rate';

const MIB = 2 ** 20;
const LOADS: readonly Load[] = [
  { rw: 'randread', blockBytes: 4096, depth: 32 },
  { rw: 'randwrite', blockBytes: 4096, depth: 32 },
  { rw: 'read', blockBytes: MIB, depth: 4 },
  { rw: 'write', blockBytes: MIB, depth: 4 },
];
const ROUNDS = 3;
const SECONDS = 2;
const SIZE_MIB = 128;
const FILE = '/data/beside.img';
const AUTOPROBE = '/sys/bus/xen-backend/drivers_autoprobe';

export const besideBlkback: Case = async (site) => {
  const { lab, say } = site;
  await lab.dom0(`truncate -s ${SIZE_MIB}M ${FILE}; modprobe xen-blkback`);
  try {
    const theirs = await site.guest({ disks: [`${FILE},raw,xvda,rw`] });
    // What is made from here on is not the kernel's back end's.
    await lab.dom0(`echo 0 >${AUTOPROBE}`);
    const copied = await site.guestOn([await site.volume(`${SIZE_MIB}M`)]);
    await restartDaemon(lab, 'TAPDISK_TS_XEN_GRANTS=persistent');
    const persistent = await site.guestOn([await site.volume(`${SIZE_MIB}M`)]);
    const guests = { 'xen-blkback': theirs, 'grants copied': copied, 'grants kept': persistent };
    for (const guest of Object.values(guests)) await fill(guest);
    for (const load of LOADS) say(`       ${await compare(guests, load)}`);
    await theirs.shutDown();
    return `${LOADS.length} loads, ${ROUNDS} rounds of ${SECONDS} s each`;
  } finally {
    await restartDaemon(lab);
    await lab.run(`echo 1 >${AUTOPROBE}; rmmod xen-blkback; rm -f ${FILE}`);
  }
};

/** So that nobody finds holes. */
async function fill(guest: Guest): Promise<void> {
  await guest.sh(`dd if=/dev/zero of=/dev/xvda bs=1M count=${SIZE_MIB} oflag=direct 2>/dev/null`);
}

/** All in turns; ratios are to the first. */
async function compare(guests: Readonly<Record<string, Guest>>, load: Load): Promise<string> {
  const rates = Object.entries(guests).map(([name, guest]) => ({
    name,
    guest,
    all: [] as number[],
  }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { guest, all } of rates) all.push(await fioRate(guest, '/dev/xvda', load, SECONDS));
  }
  const first = median(rates[0].all);
  const told = rates.map(({ name, all }) => {
    const rate = median(all);
    return `${name} ${inMib(rate)} (${(rate / first).toFixed(2)})`;
  });
  return `${load.rw} ${load.blockBytes} depth ${load.depth}: ${told.join(', ')}`;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const inMib = (bytesPerSecond: number): string => `${(bytesPerSecond / MIB).toFixed(1)} MiB/s`;
