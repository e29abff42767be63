/** Keeps a log readable while something fails again and again: the first few, then their number. */
import type { Log } from '../control/log';
import type { TapdiskError } from '../errors';

export class FewReports {
  private reported = 0;
  private since = -Infinity;

  constructor(
    private readonly log: Log,
    private readonly perInterval: number,
    private readonly intervalMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  report(reason: TapdiskError): void {
    const now = this.now();
    if (now - this.since >= this.intervalMs) {
      const unsaid = this.reported - this.perInterval;
      if (unsaid > 0) this.log.warn({ count: unsaid }, 'more of these were not reported');
      this.since = now;
      this.reported = 0;
    }
    if (++this.reported <= this.perInterval) this.log.warn({ code: reason.code }, reason.message);
  }
}
