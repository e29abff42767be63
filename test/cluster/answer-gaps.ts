/** How long a guest was left without an answer: the gaps between answers, while it waits for some. */

export class AnswerGaps {
  /** performance.now() of the last answer. */
  lastMs = performance.now();
  private readonly windows = new Set<GapWindow>();

  answered(): void {
    const now = performance.now();
    const gapMs = now - this.lastMs;
    this.lastMs = now;
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
