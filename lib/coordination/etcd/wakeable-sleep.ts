/** A pause of a loop, which may be cut short. */
import type { Clock } from '../../clock';

/** For one sleeper at a time. */
export class WakeableSleep {
  private wakeSleeper: (() => void) | null = null;
  private isWoken = false;

  constructor(private readonly clock: Clock) {}

  /** Returns at once where it was woken since the last sleep ended. */
  sleep(delayMs: number): Promise<void> {
    if (this.isWoken) {
      this.isWoken = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.wakeSleeper = null;
        this.isWoken = false;
        resolve();
      };
      const timer = this.clock.setTimer(delayMs, end);
      this.wakeSleeper = end;
    });
  }

  wake(): void {
    this.isWoken = true;
    this.wakeSleeper?.();
  }
}
