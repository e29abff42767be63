/** A guest without a driver for its disk: nothing waits for it for ever, and nothing of it is left. */
import { backEndOf, XVDA } from '../lab/back-end';
import { type Case, diskLine, type Site } from '../lab/case';
import type { Guest } from '../lab/guest';

const INIT_WAIT = 2;

export const neverConnects: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume('16M');
  const guest = await site.guestOn([volume], { kernelOptions: 'module_blacklist=xen_blkfront' });
  const detached = await waitingPid(site, guest);
  await lab.dom0(`xl block-detach ${guest.name} xvda`);
  await nothingIsLeft(site, guest, detached);
  await lab.dom0(`xl block-attach ${guest.name} '${diskLine(volume, 'xvda')}'`);
  const destroyed = await waitingPid(site, guest);
  await guest.destroy();
  await nothingIsLeft(site, guest, destroyed);
  return 'waits in InitWait; block-detach, then xl destroy: no process, nothing in xenstore';
};

/** @returns the pid of the process that offers the disk */
async function waitingPid({ lab }: Site, guest: Guest): Promise<number> {
  const nodes = backEndOf(guest, XVDA);
  const [state, pid] = (
    await lab.dom0(`xenstore-read ${nodes}/state ${nodes}/tapdisk-ts-pid`)
  ).split('\n');
  if (Number(state) !== INIT_WAIT) throw new Error(`the back end is in state ${state}`);
  await lab.dom0(`kill -0 ${pid}`);
  return Number(pid);
}

async function nothingIsLeft({ lab }: Site, guest: Guest, pid: number): Promise<void> {
  await lab.until('the disk has left xenstore', `! xenstore-exists ${backEndOf(guest, XVDA)}`);
  await lab.until('its process has ended', `! kill -0 ${pid} 2>/dev/null`);
}
