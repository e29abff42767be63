/** One attempt of a call: a result, or the end of its time, whichever is first. */
import type { Clock, Timer } from '../clock';

/** An attempt as those see it who do a part of it. */
export interface Cancellable {
  /** How to cancel what is under way now; at once where the attempt has ended already. */
  cancelWith(cancel: () => void): void;
  /** Ends the attempt with an error and cancels what is under way. */
  abort(error: Error): void;
}

export class Attempt<Result> implements Cancellable {
  readonly startedAtMs: number;
  readonly result: Promise<Result>;
  private readonly timer: Timer;
  private finish!: (result: Result) => void;
  private giveUp!: (error: unknown) => void;
  private cancelWork: (() => void) | null = null;
  private ended = false;

  /** @param onExpired makes the error of an attempt that took too long; called at most once */
  constructor(clock: Clock, deadlineMs: number, onExpired: () => Error) {
    this.startedAtMs = clock.nowMs();
    this.result = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.giveUp = reject;
    });
    this.timer = clock.setTimer(deadlineMs, () => this.abort(onExpired()));
  }

  /** Runs the work; what becomes of it after the attempt's end is nobody's business. */
  run(work: () => Promise<Result>): Promise<Result> {
    work().then(
      (result) => this.end(() => this.finish(result)),
      (error: unknown) => this.end(() => this.giveUp(error)),
    );
    return this.result;
  }

  cancelWith(cancel: () => void): void {
    if (this.ended) cancel();
    else this.cancelWork = cancel;
  }

  abort(error: Error): void {
    if (this.ended) return;
    const cancel = this.cancelWork;
    this.end(() => this.giveUp(error));
    cancel?.();
  }

  private end(settle: () => void): void {
    if (this.ended) return;
    this.ended = true;
    this.cancelWork = null;
    this.timer.cancel();
    settle();
  }
}
