/** How long a guest was left without an answer: the gaps between answers, while it waits for some. */

/** Gaps below this are of no interest to anybody. */
const GAP_COUNTED_MS = 5;

export class AnswerGaps {
  /** performance.now() of the last answer. */
  lastMs = performance.now();
  private readonly windows = new Set<GapWindow>();

  /** @param waiting whether a request was waiting all the while; an idle guest misses nothing. */
  answered(waiting: boolean): void {
    const now = performance.now();
    const gapMs = now - this.lastMs;
    this.lastMs = now;
    if (!waiting || gapMs < GAP_COUNTED_MS) return;
    for (const window of this.windows) window.longestMs = Math.max(window.longestMs, gapMs);
  }

  /** The guest begins to wait, after having had nothing to wait for. */
  beganToWait(): void {
    this.lastMs = performance.now();
  }

  /** From now on until `close`. */
  open(): GapWindow {
    const window: GapWindow = {
      longestMs: 0,
      close: () => {
        this.windows.delete(window);
        return window.longestMs;
      },
    };
    this.windows.add(window);
    return window;
  }
}

export interface GapWindow {
  /** The longest gap that ended within the window; it may have begun before. */
  longestMs: number;
  close(): number;
}
