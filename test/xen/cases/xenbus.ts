/** The daemon and a disk's process speak to xenstore through the kernel's device, as where xenstored has a domain of its own. */
import { type Case, PLUGGED } from '../lab/case';
import { daemonPid, pidOf, restartDaemon } from '../lab/daemon';
import { verified } from './fio';

const MIB = 8;
/** Where no xenstored listens: then it is the device. */
const NOWHERE = 'XENSTORED_RUNDIR=/run/nowhere';

export const xenbus: Case = async (site) => {
  const { lab } = site;
  const volume = await site.volume(`${2 * MIB}M`);
  await restartDaemon(lab, NOWHERE);
  try {
    const guest = await site.plug(volume);
    await verified(guest, PLUGGED, MIB);
    for (const pid of [await daemonPid(lab), await pidOf(lab, guest)]) {
      await lab.dom0(`ls -l /proc/${pid}/fd | grep /dev/xen/xenbus`);
    }
    await site.unplug();
  } finally {
    await restartDaemon(lab);
  }
  return `daemon and disk by /dev/xen/xenbus: attached, ${MIB} MiB verified, detached`;
};
