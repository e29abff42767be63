/** What an admin writes for xl: a disk line with script=, disks plugged in and out. */
import { type Case, diskLine, PLUGGED } from '../lab/case';
import { fileSystemHolds } from './file-system';
import { verified } from './fio';

export const scriptPv: Case = async (site) => {
  const volume = await site.volume('64M');
  const guest = await site.guestOn([volume], { type: 'pv' });
  await fileSystemHolds(guest);
  await guest.shutDown();
  return 'PV guest by script=, ext4 compared and checked';
};

export const fioVerify: Case = async (site) => {
  const guest = await site.plug(await site.volume('64M'));
  const longest = await verified(guest, PLUGGED, 32);
  await site.unplug();
  return `32 MiB, direct, depth 32, mixed sizes; longest request ${longest.toFixed(2)} s`;
};

export const blockAttach: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('64M');
  const guest = await site.plug(volume);
  await fileSystemHolds(guest, PLUGGED);
  await site.unplug();
  await lab.dom0(`! tapdisk-ts list --running | grep ${volume}`);
  const wrong = diskLine('main/nowhere', 'xvdb');
  const { status, output } = await lab.run(`xl block-attach ${guest.name} '${wrong}'`);
  if (status === 0) throw new Error('a volume that is not there was attached');
  if (!output.includes('nowhere')) throw new Error(`xl does not say why: ${output.trim()}`);
  await lab.run(`xl block-detach ${guest.name} xvdb`);
  return `attached, used, detached; refused: ${output.trim().split('\n')[0]}`;
};
