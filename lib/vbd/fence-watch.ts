/** Looks at a fence before each batch of answers, and by time where none comes; counts the stalls. */
import { type Fence, FENCE_LOST, FENCE_OPEN, FENCE_WAITING, type FenceState } from '../fence';
import { FENCE_LOOK_MS } from './limits';

/** Told of what happens to the right to a volume; for the log. */
export interface FenceObserver {
  /** Requests wait from now on. */
  stalled(): void;
  /** They go on, after so long. */
  resumed(stalledMs: number): void;
  /** They fail, for good. Called once. */
  lost(): void;
}

/** For statistics. */
export interface FenceStatistics {
  readonly state: 'open' | 'waiting' | 'lost';
  readonly stalls: number;
  readonly longestStallMs: number;
  /** Of all stalls, with the one that lasts. */
  readonly stalledMs: number;
}

const NAMES = ['open', 'waiting', 'lost'] as const;

export const NO_OBSERVER: FenceObserver = {
  stalled: () => undefined,
  resumed: () => undefined,
  lost: () => undefined,
};

export class FenceWatch {
  observer: FenceObserver = NO_OBSERVER;
  /** As `look` saw it last; never OPEN again once it was LOST. */
  seen: FenceState = FENCE_OPEN;

  private endListening: () => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private isResting = false;
  private stalls = 0;
  private longestMs = 0;
  private totalMs = 0;
  private sinceMs = 0;

  constructor(
    private readonly fence: Fence,
    /** What waits may have become free to go on, or to fail. */
    private readonly changed: () => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.begin();
  }

  /** Asks the fence now: the one place where it is asked before answers. */
  look(): FenceState {
    if (this.seen === FENCE_LOST) return FENCE_LOST;
    if (this.isResting) return FENCE_WAITING;
    const state = this.fence.state();
    if (state !== this.seen) this.turn(this.seen, state);
    return state;
  }

  statistics(): FenceStatistics {
    const lastingMs = this.seen === FENCE_WAITING ? this.nowMs() - this.sinceMs : 0;
    return {
      state: NAMES[this.seen],
      stalls: this.stalls,
      longestStallMs: Math.round(Math.max(this.longestMs, lastingMs)),
      stalledMs: Math.round(this.totalMs + lastingMs),
    };
  }

  /**
   * While the right is given away, what the fence says is about that, and neither a stall nor a loss:
   * nothing is answered and nobody told, until `goOn` or `close`.
   */
  rest(): void {
    this.isResting = true;
    this.close();
  }

  /** The right was not given away: looks at once, and tells what has changed since `rest`. */
  goOn(): void {
    this.isResting = false;
    this.begin();
    this.lookByTime();
  }

  /** Looks no more, for good: before the right is given back. */
  close(): void {
    this.endListening();
    clearInterval(this.timer);
  }

  private begin(): void {
    this.endListening = this.fence.onChange(() => {
      this.look();
      this.changed();
    });
    this.timer = setInterval(() => this.lookByTime(), FENCE_LOOK_MS);
    this.timer.unref();
  }

  private lookByTime(): void {
    const before = this.seen;
    if (this.look() !== before) this.changed();
  }

  private turn(before: FenceState, state: FenceState): void {
    this.seen = state;
    const stalledMs = before === FENCE_WAITING ? this.nowMs() - this.sinceMs : 0;
    this.totalMs += stalledMs;
    this.longestMs = Math.max(this.longestMs, stalledMs);
    if (state === FENCE_WAITING) {
      this.stalls++;
      this.sinceMs = this.nowMs();
      this.observer.stalled();
    } else if (state === FENCE_LOST) {
      clearInterval(this.timer);
      this.observer.lost();
    } else {
      this.observer.resumed(Math.round(stalledMs));
    }
  }
}
