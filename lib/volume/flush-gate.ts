/** Serves any number of flushes with as few syncs as correctness allows. */
import type { ErrnoCallback } from '../store/chunk-store';

/**
 * A flush must cover all that was acknowledged before it came, so it cannot join a sync that has
 * already begun; but all that come during one sync share the next.
 */
export class FlushGate {
  private waiting: ErrnoCallback[] = [];
  private isBusy = false;

  constructor(
    private readonly sync: (done: ErrnoCallback) => void,
    /** Called after each group of callbacks. */
    private readonly onBatchEnd: () => void,
  ) {}

  flush(done: ErrnoCallback): void {
    this.waiting.push(done);
    if (!this.isBusy) this.nextRound();
  }

  private nextRound(): void {
    const round = this.waiting;
    this.waiting = [];
    this.isBusy = true;
    this.sync((errno) => {
      this.isBusy = false;
      for (const done of round) done(errno);
      if (this.waiting.length > 0) this.nextRound();
      this.onBatchEnd();
    });
  }
}
