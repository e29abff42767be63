/** Tries a call until it succeeds, fails for good, or its time is used up. */
import type { Clock } from '../clock';
import { TapdiskError } from '../errors';
import type { CallSetting } from './etcd';
import { RETRY_PAUSE_MS_MAX, RETRY_PAUSE_MS_MIN } from './limits';

export interface RetrySetting {
  readonly clock: Clock;
  /** All attempts and pauses together end after this long, counted from the call. */
  readonly budgetMs: number;
  /** The deadline of one attempt; the last may have less. */
  readonly attemptMs: number;
  /** Ends the pauses at once and starts no further attempt: ETCD_ABORTED. */
  readonly aborted?: AbortSignal;
  /** From 0 on, below 1: for the pauses, so that many processes do not return in step. */
  readonly random?: () => number;
}

/**
 * Repeats an attempt for as long as it fails transiently. The second one follows at once, as it goes
 * to another member; before later ones there is a pause.
 *
 * Not for what must not be done twice: the outcome of a failed attempt is unknown.
 *
 * @throws the last attempt's error; TapdiskError ETCD_ABORTED
 */
export async function retryTransient<Result>(
  attempt: (setting: CallSetting) => Promise<Result>,
  { clock, budgetMs, attemptMs, aborted, random = Math.random }: RetrySetting,
): Promise<Result> {
  const endMs = clock.nowMs() + budgetMs;
  for (let failures = 0; ;) {
    if (aborted?.aborted) throw abortedError();
    try {
      const leftMs = Math.max(endMs - clock.nowMs(), 1);
      return await attempt({ deadlineMs: Math.min(attemptMs, leftMs) });
    } catch (error) {
      if (!(error instanceof TapdiskError) || !error.transient) throw error;
      const pauseMs = pauseAfter(++failures, random());
      if (clock.nowMs() + pauseMs >= endMs) throw error;
      if (pauseMs > 0) await pause(clock, pauseMs, aborted);
    }
  }
}

/** Half of it is left to chance. */
function pauseAfter(failures: number, random: number): number {
  if (failures === 1) return 0;
  const mostMs = Math.min(RETRY_PAUSE_MS_MIN * 2 ** Math.min(failures - 2, 16), RETRY_PAUSE_MS_MAX);
  return (mostMs * (1 + random)) / 2;
}

/** Ends early when aborted. */
function pause(clock: Clock, delayMs: number, aborted: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      aborted?.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimer(delayMs, end);
    aborted?.addEventListener('abort', end);
  });
}

function abortedError(): TapdiskError {
  return new TapdiskError('ETCD_ABORTED', 'the call to etcd was given up before it succeeded');
}
