/** `tapdisk-ts daemon` in dom0, and the processes that it starts. */
import { backEndOf, XVDB } from './back-end';
import type { Guest } from './guest';
import type { Lab } from './lab';

const LOG = '/var/log/tapdisk-ts-daemon.log';
const PID = '/run/lab-daemon.pid';

/** Where others use the machine too, Node alone may need a minute to start in emulation. */
const START_TIMEOUT_MS = 180_000;

/** Starts it with words like NAME=value before it, and waits until it watches. */
export async function startDaemon(lab: Lab, environment = ''): Promise<void> {
  await lab.dom0(
    `setsid env ${environment} tapdisk-ts daemon >${LOG} 2>&1 </dev/null & echo $! >${PID}`,
  );
  await lab.until('the daemon watches xenstore', `grep watches ${LOG}`, START_TIMEOUT_MS);
}

export async function daemonRuns(lab: Lab): Promise<boolean> {
  return (await lab.run(`kill -0 $(cat ${PID})`)).status === 0;
}

export async function killDaemon(lab: Lab): Promise<void> {
  await lab.dom0(`kill -9 $(cat ${PID})`);
}

/** With words as for startDaemon. The processes of disks stay as they are. */
export async function restartDaemon(lab: Lab, environment?: string): Promise<void> {
  await killDaemon(lab);
  await startDaemon(lab, environment);
}

export async function daemonPid(lab: Lab): Promise<number> {
  return Number(await lab.dom0(`cat ${PID}`));
}

/** The volume's marker, once the daemon has seen that there is such a volume. */
export async function markerOf(lab: Lab, volume: string): Promise<string> {
  const marker = `/run/tapdisk-ts/volumes/${volume}`;
  await lab.until('the volume has its marker', `[ -e ${marker} ]`);
  return marker;
}

/** Where the daemon writes the pid of the process that serves a guest's PLUGGED disk. */
export function pidNodeOf(guest: Guest): string {
  return `${backEndOf(guest, XVDB)}/tapdisk-ts-pid`;
}

/** @throws Error where no process serves the guest's PLUGGED disk */
export async function pidOf(lab: Lab, guest: Guest): Promise<number> {
  return Number(await lab.dom0(`xenstore-read ${pidNodeOf(guest)}`));
}
