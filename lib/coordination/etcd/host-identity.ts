/** Who this process is to the others of a cluster, and which of them are dead for certain. */
import { readdirSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { errnoOf } from '../../errors';
import { OWNER_HOST_LENGTH_MAX } from '../limits';
import { bootId, ownProcess, processStat, type ProcessIdentity } from '../process-identity';

/** A process of some host. */
export interface ClusterProcess extends ProcessIdentity {
  readonly host: string;
  /** In which its pid is what it says. */
  readonly pidNamespace: string;
}

/** This process, as it sees the others. Simulations play several hosts in one process by it. */
export interface HostIdentity extends ClusterProcess {
  /**
   * True where no thread of that process runs any more. False where it does, and where that cannot
   * be told from here: it is another host's, or another container's.
   */
  isDead(process: ClusterProcess): boolean;
}

/** `TAPDISK_TS_HOST` names the host otherwise than its kernel does. */
export function readHostIdentity(
  env: Readonly<Record<string, string | undefined>> = process.env,
): HostIdentity {
  const named = env.TAPDISK_TS_HOST;
  const self: ClusterProcess = {
    host: (named === undefined || named === '' ? hostname() : named).slice(
      0,
      OWNER_HOST_LENGTH_MAX,
    ),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    ...ownProcess(),
  };
  return { ...self, isDead: (other) => isOfThisHost(other, self) && hasEnded(other) };
}

function isOfThisHost(other: ClusterProcess, self: ClusterProcess): boolean {
  return (
    other.host === self.host &&
    other.bootId === bootId() &&
    other.pidNamespace === self.pidNamespace
  );
}

function hasEnded({ pid, startTime }: ProcessIdentity): boolean {
  const stat = processStat(pid);
  // Hidden processes look like none at all; but a signal 0 tells.
  if (stat === null) return !exists(pid);
  if (stat.startTime !== startTime) return true;
  // Nobody has asked for its exit code yet; its other threads may still run.
  return (stat.state === 'Z' || stat.state === 'X') && threadCount(pid) <= 1;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

function threadCount(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch (error) {
    return errnoOf(error) === 'ENOENT' ? 0 : Infinity;
  }
}
