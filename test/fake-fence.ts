/** A fence that the test opens and closes; it closes as a lease does, without telling anybody. */
import { type Fence, FENCE_LOST, FENCE_OPEN, FENCE_WAITING, type FenceState } from '../lib/fence';

export class FakeFence implements Fence {
  /** How often it was asked. */
  asked = 0;
  /** Called before each answer: a test may close it there. */
  onAsked: () => void = () => {};
  private isOpen = true;
  private isLost = false;
  private readonly listeners = new Set<(state: FenceState) => void>();

  get listening(): number {
    return this.listeners.size;
  }

  state(): FenceState {
    this.asked++;
    this.onAsked();
    if (this.isLost) return FENCE_LOST;
    return this.isOpen ? FENCE_OPEN : FENCE_WAITING;
  }

  onChange(listener: (state: FenceState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The right runs out, without a word. */
  close(): void {
    this.isOpen = false;
  }

  /** It is confirmed again, and told unless `silently`. */
  open(silently = false): void {
    this.isOpen = true;
    if (!silently) this.tell(FENCE_OPEN);
  }

  lose(): void {
    this.isLost = true;
    this.tell(FENCE_LOST);
  }

  /** The right is given back or away: gone for this process, and nobody is told. */
  end(): void {
    this.isLost = true;
    this.listeners.clear();
  }

  private tell(state: FenceState): void {
    for (const listener of this.listeners) listener(state);
  }
}
