/** The real `Clock`: CLOCK_BOOTTIME and Node's timers. */
import { openBootTime } from '../../native-bindings/boot-time';
import { assert } from '../assert';
import type { Clock, Timer } from '../clock';
import { TIMER_SLICE_MS } from './limits';

export class BootClock implements Clock {
  /** @param nowMs milliseconds of a clock that goes on while the machine sleeps */
  constructor(readonly nowMs: () => number = openBootTime()) {}

  date(): Date {
    return new Date();
  }

  /**
   * Node's timers stand still while the machine sleeps, and may be a fraction of a millisecond
   * early: each is checked against the clock. After a sleep a timer is late by up to a slice.
   */
  setTimer(delayMs: number, callback: () => void): Timer {
    assert(delayMs >= 0 && Number.isFinite(delayMs), 'a delay is a number of milliseconds');
    const dueMs = this.nowMs() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      timer = setTimeout(check, Math.min(Math.ceil(leftMs), TIMER_SLICE_MS)).unref();
    };
    const check = (): void => {
      const leftMs = dueMs - this.nowMs();
      if (leftMs > 0) arm(leftMs);
      else callback();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(timer) };
  }
}
