/** Waits until a load's last request is answered, and no longer than a lost one deserves. */
export class QuietWait {
  private whenQuiet: (() => void) | null = null;

  constructor(
    private readonly inFlight: () => number,
    /** A request that is not answered in this time is lost. */
    private readonly timeoutMs: number,
  ) {}

  /** Rejects with how many requests were not answered. */
  async wait(): Promise<void> {
    if (this.inFlight() === 0) return;
    const { timeoutMs } = this;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${this.inFlight()} requests were not answered in ${timeoutMs} ms`));
      }, timeoutMs);
      this.whenQuiet = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** To be called whenever the last one may have been answered. */
  look(): void {
    if (this.inFlight() > 0) return;
    this.whenQuiet?.();
    this.whenQuiet = null;
  }
}
