/** Virtual time: events in the order of their instants, each with all that follows from it at once. */
import { Random } from '../volume/doubles/random';

/** Node's own, also while others stand in its place. */
const realSetImmediate = setImmediate;

export interface ScheduledEvent {
  cancel(): void;
}

class Entry implements ScheduledEvent {
  isCancelled = false;

  constructor(
    readonly atMs: number,
    /** Events of one instant come in the order in which they were scheduled. */
    readonly serial: number,
    readonly action: () => void,
  ) {}

  cancel(): void {
    this.isCancelled = true;
  }

  isBefore(other: Entry): boolean {
    return this.atMs < other.atMs || (this.atMs === other.atMs && this.serial < other.serial);
  }
}

export class VirtualTime {
  /** Chance of everything that takes part: one seed decides a whole history. */
  readonly random: Random;
  /** Events that have happened. */
  eventCount = 0;
  private now = 0;
  private serial = 0;
  /** A binary heap. */
  private readonly heap: Entry[] = [];

  constructor(readonly seed = 1) {
    this.random = new Random(seed);
  }

  get nowMs(): number {
    return this.now;
  }

  /** Happens `delayMs` from now, in a turn of its own. */
  schedule(delayMs: number, action: () => void): ScheduledEvent {
    const entry = new Entry(this.now + Math.max(0, delayMs), this.serial++, action);
    this.push(entry);
    return entry;
  }

  /** Lets everything happen that is due within so many milliseconds. */
  async advance(durationMs: number): Promise<void> {
    await this.runUntil(() => false, durationMs);
    // So that what the caller asks for next begins from rest.
    await drain();
  }

  /** Lets events happen until the condition holds; false where the time ran out before. */
  async runUntil(isTrue: () => boolean, withinMs: number): Promise<boolean> {
    const endMs = this.now + withinMs;
    await drain();
    while (!isTrue()) {
      const next = this.next(endMs);
      if (next === null) {
        this.now = Math.max(this.now, endMs);
        return isTrue();
      }
      this.now = next.atMs;
      this.eventCount++;
      next.action();
      await drain();
    }
    return true;
  }

  /** Runs until the promise is settled, and gives its result. */
  async resolve<T>(promise: Promise<T>, withinMs = 600_000): Promise<T> {
    let isSettled = false;
    const settled = (): void => void (isSettled = true);
    promise.then(settled, settled);
    if (await this.runUntil(() => isSettled, withinMs)) return promise;
    throw new Error(`seed ${this.seed}: still unsettled after ${withinMs} ms of virtual time`);
  }

  private next(endMs: number): Entry | null {
    for (let top = this.heap[0]; top !== undefined; top = this.heap[0]) {
      if (!top.isCancelled && top.atMs > endMs) return null;
      this.pop();
      if (!top.isCancelled) return top;
    }
    return null;
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!entry.isBefore(heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1].isBefore(heap[child])) child++;
      if (!heap[child].isBefore(last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
  }
}

/** Resolves when no promise can go on by itself, and what was asked of setImmediate was done. */
async function drain(): Promise<void> {
  await new Promise((resolve) => realSetImmediate(resolve));
}
