/** How long a guest whose rings were refused or broke must wait: the longer, the more often it was. */
import { RECONNECT_PAUSE_MS_MAX, RECONNECT_PAUSE_MS_MIN } from './limits';

export class ReconnectPause {
  private pauseMs = RECONNECT_PAUSE_MS_MIN;
  private refusedAtMs = -Infinity;

  constructor(private readonly now: () => number = () => performance.now()) {}

  refused(): void {
    const now = this.now();
    const isOften = now - this.refusedAtMs <= 2 * RECONNECT_PAUSE_MS_MAX;
    this.pauseMs = isOften
      ? Math.min(2 * this.pauseMs, RECONNECT_PAUSE_MS_MAX)
      : RECONNECT_PAUSE_MS_MIN;
    this.refusedAtMs = now;
  }

  /** 0 or less: it may connect. */
  leftMs(): number {
    return this.refusedAtMs + this.pauseMs - this.now();
  }
}
