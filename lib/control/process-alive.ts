/** Whether a process is running on this host. */
import { readFileSync } from 'node:fs';
import { errnoOf } from '../errors';

/**
 * True too for processes of other users. A zombie counts as dead: where process 1 does not collect
 * orphans, as in many containers, it stays for ever.
 */
export function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
  return !isZombie(pid);
}

/** proc(5): the state follows the name, which may itself hold parentheses. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}
