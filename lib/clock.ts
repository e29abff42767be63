/** Time as coordinated code sees it, so that a simulation can be its master. */

export interface Timer {
  /** Does nothing after the call back. */
  cancel(): void;
}

export interface Clock {
  /**
   * Milliseconds since some instant of this machine's start. Never goes back, and goes on while the
   * process is stopped or the machine sleeps (CLOCK_BOOTTIME).
   */
  nowMs(): number;
  /** Wall-clock time, for people only: nothing is decided by it. */
  date(): Date;
  /** Calls back once, `delayMs` or more later. Does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}
