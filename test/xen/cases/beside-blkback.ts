/** A volume beside a raw file on loop that the kernel's own back end serves, in one boot, in turns. */
import type { Case } from '../lab/case';
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
const SECONDS = 4;
const SIZE_MIB = 256;
const FILE = '/data/beside.img';
const AUTOPROBE = '/sys/bus/xen-backend/drivers_autoprobe';

export const besideBlkback: Case = async (site) => {
  const { lab, say } = site;
  const volume = await site.volume(`${SIZE_MIB}M`);
  await lab.dom0(`truncate -s ${SIZE_MIB}M ${FILE}; modprobe xen-blkback`);
  try {
    const theirs = await site.guest({ disks: [`${FILE},raw,xvda,rw`] });
    // What is made from here on is not the kernel's back end's.
    await lab.dom0(`echo 0 >${AUTOPROBE}`);
    const ours = await site.guestOn([volume]);
    for (const guest of [theirs, ours]) await fill(guest);
    const told: string[] = [];
    for (const load of LOADS) {
      const line = await compare(ours, theirs, load);
      say(`       ${line}`);
      told.push(line);
    }
    await theirs.shutDown();
    return `${told.length} loads, ${ROUNDS} rounds of ${SECONDS} s each`;
  } finally {
    await lab.run(`echo 1 >${AUTOPROBE}; rmmod xen-blkback; rm -f ${FILE}`);
  }
};

/** So that neither side finds holes. */
async function fill(guest: Guest): Promise<void> {
  await guest.sh(`dd if=/dev/zero of=/dev/xvda bs=1M count=${SIZE_MIB} oflag=direct 2>/dev/null`);
}

async function compare(ours: Guest, theirs: Guest, load: Load): Promise<string> {
  const rates: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.theirs.push(await fioRate(theirs, '/dev/xvda', load, SECONDS));
    rates.ours.push(await fioRate(ours, '/dev/xvda', load, SECONDS));
  }
  const [mine, other] = [median(rates.ours), median(rates.theirs)];
  const name = `${load.rw} ${load.blockBytes} depth ${load.depth}`;
  const ratio = (mine / other).toFixed(2);
  return `${name}: ${inMib(mine)} beside ${inMib(other)} of xen-blkback, ratio ${ratio}`;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const inMib = (bytesPerSecond: number): string => `${(bytesPerSecond / MIB).toFixed(1)} MiB/s`;
