/** kill -9 of what serves a guest, while the guest writes and verifies. */
import { type Case, PLUGGED, type Site } from '../lab/case';
import { pidNodeOf, pidOf, restartDaemon } from '../lab/daemon';
import type { Guest } from '../lab/guest';
import { isLoaded, verified } from './fio';

const MIB = 32;

/** @returns fio's longest request, in seconds */
async function underLoad(
  site: Site,
  volume: string,
  body: (guest: Guest) => Promise<void>,
): Promise<number> {
  const guest = await site.plug(volume);
  // The load's own failure is told first: it is what the guest saw.
  const load = verified(guest, PLUGGED, MIB);
  load.catch(() => undefined);
  await isLoaded(guest, PLUGGED);
  const deed = body(guest);
  deed.catch(() => undefined);
  const longest = await load;
  await deed;
  await site.unplug();
  return longest;
}

/**
 * The disk's process is killed, and another takes its place.
 *
 * @returns the guest's longest request, in seconds
 */
export async function killedUnderLoad(site: Site, volume: string): Promise<number> {
  const { lab } = site;
  return underLoad(site, volume, async (guest) => {
    const killed = await pidOf(lab, guest);
    await lab.dom0(`kill -9 ${killed}`);
    const replaced = `pid=$(xenstore-read ${pidNodeOf(guest)}) && [ $pid != ${killed} ]`;
    await lab.until('another process serves the volume', replaced);
  });
}

export const killDisk: Case = async (site) => {
  const longest = await killedUnderLoad(site, await site.volume('64M'));
  return `no I/O error, verify passes; the guest's longest request ${longest.toFixed(2)} s`;
};

export const killDaemonCase: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('64M');
  let [before, after] = [0, 0];
  const longest = await underLoad(site, volume, async (guest) => {
    before = await pidOf(lab, guest);
    await restartDaemon(lab);
    after = await pidOf(lab, guest);
    await lab.dom0(`kill -0 ${after}`);
  });
  if (before !== after) {
    throw new Error(`the disk's process was ${before}, now ${after}`);
  }
  return `the disk's process is the same; the guest's longest request ${longest.toFixed(2)} s`;
};

export const destroyed: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('64M');
  const guest = await site.plug(volume);
  const load = verified(guest, PLUGGED, MIB);
  load.catch(() => undefined);
  await isLoaded(guest, PLUGGED);
  const pid = await pidOf(lab, guest);
  await guest.destroy();
  await lab.until(
    'xenstore is clean',
    `! xenstore-exists /local/domain/0/backend/vbd/${guest.domid}`,
  );
  // A domain whose pages somebody still maps stays, as a zombie without a name.
  await lab.until('no page is mapped', `! xl list | grep -E '\\(null\\)|${guest.name}|--ps-d'`);
  await lab.until('its process has ended', `! kill -0 ${pid} 2>/dev/null`);
  await lab.until(
    'nobody has the volume',
    `tapdisk-ts info ${volume} | grep -E '^attached +(no|-)'`,
  );
  return 'no process, no lock, no domain that lingers for its mapped pages, nothing in xenstore';
};
