/** Whether a process id is in use on this host. */
import { errnoOf } from '../errors';

/** True too for processes of other users (EPERM), and for zombies. */
export function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}
