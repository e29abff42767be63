/** Tells when a process ends, whoever's child it is. */
import { assert } from '../lib/assert';
import { PROCESS_CHECK_INTERVAL_MS } from './limits';
import { call } from './libc';
import { close } from './posix';
import { type Watch, watchReadable } from './readiness';
import { SystemCallError } from './system-call-error';

/** The same number on every architecture that Linux has gained it on (5.3). */
const SYS_PIDFD_OPEN = 434;

export interface ProcessWatch {
  /** No call comes after this. */
  stop(): void;
}

/**
 * Calls back once when process `pid` has ended; soon where there is none. At once by a pidfd
 * (pidfd_open(2)); where the kernel has none, within PROCESS_CHECK_INTERVAL_MS.
 */
export function watchProcess(pid: number, onEnded: () => void): ProcessWatch {
  assert(Number.isInteger(pid) && pid > 0, 'a process id is a positive integer');
  try {
    return new PidfdWatch(call('syscall', [SYS_PIDFD_OPEN, pid, 0]), onEnded);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    // Also ESRCH: the first check finds that there is no such process.
    return checkAgainAndAgain(pid, onEnded);
  }
}

class PidfdWatch implements ProcessWatch {
  private readonly watch: Watch;
  private stopped = false;

  constructor(
    private readonly fd: number,
    onEnded: () => void,
  ) {
    this.watch = watchReadable(fd, () => {
      if (this.stopped || !this.watch.poll()) return;
      this.stop();
      onEnded();
    });
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.watch.stop();
    close(this.fd);
  }
}

function checkAgainAndAgain(pid: number, onEnded: () => void): ProcessWatch {
  const timer = setInterval(() => {
    try {
      process.kill(pid, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') return;
      clearInterval(timer);
      onEnded();
    }
  }, PROCESS_CHECK_INTERVAL_MS);
  return { stop: () => clearInterval(timer) };
}
