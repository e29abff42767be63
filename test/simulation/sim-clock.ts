/** Clocks for coordinated code under test: of a simulated process, or of this one. */
import type { Clock, Timer } from '../../lib/clock';
import { VirtualTime } from './virtual-time';

/** The wall clock at virtual time 0. */
const EPOCH_MS = Date.UTC(2026, 2, 1);

/** A machine: its clocks run fast or slow, and it can be cut off from everything else. */
export class SimHost {
  /** Nothing that is sent from it or to it arrives. */
  isPartitioned = false;

  constructor(
    readonly name: string,
    readonly time: VirtualTime,
    /** How many of its milliseconds are one of the world's: 1.01 is a clock that is 1 % fast. */
    readonly clockRate = 1,
    /** Its clock at the world's time 0. */
    readonly clockOffsetMs = 0,
  ) {}
}

/**
 * A process: what happens to it happens by `deliver`, so that one that is stopped hears of it when
 * it goes on, and one that is dead never.
 */
export class SimProcess {
  /** The one that runs now, or ran last: what timers are made meanwhile are its own. */
  static current: SimProcess | null = null;
  private held: { isTimer: boolean; action: () => void }[] = [];
  private stopped = false;
  private dead = false;

  constructor(
    readonly host: SimHost,
    readonly pid = 1,
  ) {}

  get isAlive(): boolean {
    return !this.dead;
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  /** Runs the action now, or when the process goes on. */
  deliver(action: () => void, isTimer = false): void {
    if (this.dead) return;
    if (this.stopped) this.held.push({ isTimer, action });
    else this.run(action);
  }

  /** As SIGSTOP: its clock goes on. */
  stop(): void {
    this.stopped = true;
  }

  /** As SIGCONT: it hears of what was due meanwhile, timers or messages first as chance has it. */
  continue(): void {
    if (!this.stopped) return;
    this.stopped = false;
    const { time } = this.host;
    const held = this.held.splice(0);
    if (time.random.chance(0.5)) held.sort((a, b) => Number(b.isTimer) - Number(a.isTimer));
    else held.sort((a, b) => Number(a.isTimer) - Number(b.isTimer));
    for (const { isTimer, action } of held) time.schedule(0, () => this.deliver(action, isTimer));
  }

  /** As SIGKILL. */
  kill(): void {
    this.dead = true;
    this.held = [];
  }

  private run(action: () => void): void {
    SimProcess.current = this;
    action();
  }
}

/** The clock of a simulated process, by its host's rate. */
export class SimClock implements Clock {
  constructor(readonly process: SimProcess) {}

  nowMs(): number {
    const { host } = this.process;
    return host.clockOffsetMs + host.time.nowMs * host.clockRate;
  }

  date(): Date {
    return new Date(EPOCH_MS + this.nowMs());
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const { host } = this.process;
    let isCancelled = false;
    const due = (): void => {
      // Asked again when it is delivered: what came before it may have cancelled it.
      this.process.deliver(() => {
        if (!isCancelled) callback();
      }, true);
    };
    const event = host.time.schedule(delayMs / host.clockRate, due);
    return {
      cancel: () => {
        isCancelled = true;
        event.cancel();
      },
    };
  }
}

/** A clock of virtual time for a test that needs no hosts: `await time.advance(ms)` moves it. */
export function virtualClock(time: VirtualTime): SimClock {
  return new SimClock(new SimProcess(new SimHost('test', time)));
}

/** This machine's own time. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  date: () => new Date(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
