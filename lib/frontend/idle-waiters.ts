/** Promises for "nothing is in flight", with a deadline: the control plane's view of a ring. */
import { TapdiskError } from '../errors';

interface Waiter {
  resolve(): void;
  timer: NodeJS.Timeout;
}

export class IdleWaiters {
  private waiters: Waiter[] = [];

  /** Resolves at the next `notify`, at once if `isIdle`. Rejects with RING_DRAIN_TIMEOUT. */
  wait(isIdle: () => boolean, timeoutMs: number, inFlight: () => number): Promise<void> {
    if (isIdle()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter((waiter) => waiter.timer !== timer);
        reject(
          new TapdiskError(
            'RING_DRAIN_TIMEOUT',
            `${inFlight()} requests have not ended within ${timeoutMs / 1000} s; ` +
              `look at the store, then try again.`,
            { transient: true },
          ),
        );
      }, timeoutMs);
      this.waiters.push({ resolve, timer });
    });
  }

  /** Nothing is in flight now. */
  notify(): void {
    if (this.waiters.length === 0) return;
    const woken = this.waiters;
    this.waiters = [];
    for (const { resolve, timer } of woken) {
      clearTimeout(timer);
      resolve();
    }
  }
}
