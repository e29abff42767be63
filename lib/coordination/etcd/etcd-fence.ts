/** The fence of an attachment: open for as long after a confirmed keep-alive as its lease allows. */
import type { Clock } from '../../clock';
import { FENCE_LOST, FENCE_OPEN, FENCE_WAITING, type Fence, type FenceState } from '../../fence';
import { FENCE_MARGIN_MS_MIN, FENCE_SHARE } from './limits';

/** How long after its last confirmation the holder of such a lease stops by itself. */
export function fenceAfterMs(leaseTtlMs: number): number {
  return Math.min(leaseTtlMs * FENCE_SHARE, leaseTtlMs - FENCE_MARGIN_MS_MIN);
}

/** Rises with each `close`: what was sent before does not count for what comes after. */
export type FenceTerm = number;

export class EtcdFence implements Fence {
  private openUntilMs = -Infinity;
  private isLost = false;
  private currentTerm: FenceTerm = 0;
  private readonly listeners = new Set<(state: FenceState) => void>();

  constructor(private readonly clock: Clock) {}

  get term(): FenceTerm {
    return this.currentTerm;
  }

  state(): FenceState {
    if (this.isLost) return FENCE_LOST;
    return this.clock.nowMs() < this.openUntilMs ? FENCE_OPEN : FENCE_WAITING;
  }

  onChange(listener: (state: FenceState) => void): () => void {
    const entry = (state: FenceState): void => listener(state);
    this.listeners.add(entry);
    return () => void this.listeners.delete(entry);
  }

  /**
   * The right was seen to be held by a call sent at `sentAtMs`, not earlier than `term` began.
   * What is confirmed counts from when it was asked for: nobody knows how old the answer is.
   */
  confirm(sentAtMs: number, leaseTtlMs: number, term: FenceTerm): void {
    if (this.isLost || term !== this.currentTerm) return;
    const wasWaiting = this.state() === FENCE_WAITING;
    this.openUntilMs = Math.max(this.openUntilMs, sentAtMs + fenceAfterMs(leaseTtlMs));
    if (wasWaiting && this.state() === FENCE_OPEN) this.tell(FENCE_OPEN);
  }

  /** The right is in doubt: waiting until it is confirmed by a call that is sent after this one. */
  close(): void {
    this.currentTerm++;
    this.openUntilMs = -Infinity;
  }

  /** Another has the volume. */
  lose(): void {
    if (this.isLost) return;
    this.isLost = true;
    this.tell(FENCE_LOST);
  }

  /** The right was given back: nothing may be written any more, and nobody needs to be told. */
  end(): void {
    this.isLost = true;
    this.listeners.clear();
  }

  private tell(state: FenceState): void {
    for (const listener of [...this.listeners]) listener(state);
  }
}
