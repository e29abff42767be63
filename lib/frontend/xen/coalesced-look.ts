/** Looks again whenever something may have changed: one look at a time, and one for many changes. */
import { LOOK_PAUSE_MS, LOOK_RETRY_MS } from './limits';

export class CoalescedLook {
  private wanted = false;
  private looking: Promise<void> | null = null;
  /** After each look, LOOK_PAUSE_MS. */
  private rest: NodeJS.Timeout | null = null;
  private again: NodeJS.Timeout | null = null;
  private stopped = false;

  constructor(
    /** Resolves to milliseconds after which to look again although nothing changes; null: not. */
    private readonly look: () => Promise<number | null>,
    /** Told of a look that rejected; there is another one after LOOK_RETRY_MS. */
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** Something may have changed: there will be a look that begins after this call. */
  request(): void {
    this.wanted = true;
    if (!this.stopped && this.looking === null && this.rest === null) this.begin();
  }

  /** No look begins any more; resolves when the one that runs has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of [this.rest, this.again]) if (timer !== null) clearTimeout(timer);
    await this.looking;
  }

  private begin(): void {
    this.wanted = false;
    if (this.again !== null) clearTimeout(this.again);
    this.again = null;
    this.looking = this.look()
      .catch((error: unknown) => {
        this.onFailure(error);
        return LOOK_RETRY_MS;
      })
      .then((againMs) => this.ended(againMs));
  }

  private ended(againMs: number | null): void {
    this.looking = null;
    if (this.stopped) return;
    this.rest = setTimeout(() => {
      this.rest = null;
      if (this.wanted) this.begin();
    }, LOOK_PAUSE_MS);
    if (againMs !== null) this.again = setTimeout(() => this.request(), againMs);
  }
}
