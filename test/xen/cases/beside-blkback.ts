/** A volume beside a raw file on loop that the kernel's own back end serves, in one guest, in turns. */
import { type Case, deviceIsThere, diskLine, PLUGGED, type Site } from '../lab/case';
import { restartDaemon } from '../lab/daemon';
import type { Guest } from '../lab/guest';
import type { Lab } from '../lab/lab';
import { fioRates, type Load } from './fio-rate';

const MIB = 2 ** 20;
const LOADS: readonly Load[] = [
  { rw: 'randread', blockBytes: 4096, depth: 32 },
  { rw: 'randwrite', blockBytes: 4096, depth: 32 },
  { rw: 'read', blockBytes: MIB, depth: 4 },
  { rw: 'write', blockBytes: MIB, depth: 4 },
];
const ROUNDS = 3;
const SECONDS = 2;
const SIZE_MIB = 64;
const FILE = '/data/beside.img';
const AUTOPROBE = '/sys/bus/xen-backend/drivers_autoprobe';

export const besideBlkback: Case = async (site) => {
  const { lab } = site;
  // The kernel's back end takes every disk that comes, and at its start all there are, but while told not to.
  await lab.dom0(`truncate -s ${SIZE_MIB}M ${FILE}; echo 0 >${AUTOPROBE}; modprobe xen-blkback`);
  try {
    const guest = await site.plug(await site.volume(`${SIZE_MIB}M`));
    await lab.dom0(`echo 1 >${AUTOPROBE}`);
    const theirs = await attach(lab, guest, 'xvdc', `${FILE},raw,xvdc,rw`);
    await compare(site, guest, { 'xen-blkback': theirs, 'tapdisk-ts': PLUGGED });
    await lab.dom0(`xl block-detach ${guest.name} xvdc`);
    return `${LOADS.length} loads, ${ROUNDS} rounds of ${SECONDS} s each`;
  } finally {
    await lab.run(`echo 1 >${AUTOPROBE}; rmmod xen-blkback; rm -f ${FILE}`);
  }
};

/** Of the two ways to a guest's pages; by name only, as it shows no fault. */
export const grants: Case = async (site) => {
  const { lab } = site;
  const guest = await site.plug(await site.volume(`${SIZE_MIB}M`));
  const volume = await site.volume(`${SIZE_MIB}M`);
  await restartDaemon(lab, 'TAPDISK_TS_XEN_GRANTS=persistent');
  try {
    const kept = await attach(lab, guest, 'xvdc', diskLine(volume, 'xvdc'));
    await compare(site, guest, { copied: PLUGGED, kept });
    await lab.dom0(`xl block-detach ${guest.name} xvdc`);
    return `${LOADS.length} loads, ${ROUNDS} rounds of ${SECONDS} s each`;
  } finally {
    await restartDaemon(lab);
  }
};

async function attach(lab: Lab, guest: Guest, vdev: string, line: string): Promise<string> {
  await lab.dom0(`xl block-attach ${guest.name} '${line}'`);
  const device = `/dev/${vdev}`;
  await deviceIsThere(guest, device);
  return device;
}

/** Says the medians; ratios are to the first device. */
async function compare(
  { say }: Site,
  guest: Guest,
  devices: Readonly<Record<string, string>>,
): Promise<void> {
  const contestants = Object.entries(devices).map(([name, device]) => ({
    name,
    device,
    rounds: [] as number[][],
  }));
  // So that nobody finds holes.
  for (const { device } of contestants) {
    await guest.sh(`dd if=/dev/zero of=${device} bs=1M count=${SIZE_MIB} oflag=direct 2>/dev/null`);
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { device, rounds } of contestants) {
      rounds.push(await fioRates(guest, device, LOADS, SECONDS));
    }
  }
  for (const [index, load] of LOADS.entries()) {
    const medians = contestants.map(({ rounds }) => median(rounds.map((rates) => rates[index])));
    const told = contestants.map(
      ({ name }, at) => `${name} ${inMib(medians[at])} (${(medians[at] / medians[0]).toFixed(2)})`,
    );
    say(`       ${load.rw} ${load.blockBytes} depth ${load.depth}: ${told.join(', ')}`);
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const inMib = (bytesPerSecond: number): string => `${(bytesPerSecond / MIB).toFixed(1)} MiB/s`;
