/** Serves any number of flushes with as few syncs as correctness allows. */

type ErrnoCallback = (errno: number) => void;

/**
 * A flush must cover all that was done before it came, so it cannot join a sync that has already
 * begun; nor may it be told before that one has ended, whose part it does not repeat. But all that
 * come during one sync share the next.
 */
export class SyncGate {
  private waiting: ErrnoCallback[] = [];
  private isBusy = false;

  constructor(
    /** Calls back once, never from inside. */
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
      for (const done of round) done(errno);
      // Busy until here, so that flushes that come from those callbacks share one round as well.
      this.isBusy = false;
      if (this.waiting.length > 0) this.nextRound();
      this.onBatchEnd();
    });
  }
}
