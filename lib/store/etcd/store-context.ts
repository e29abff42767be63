/** What the parts of an etcd store have in common: the cluster, the right to write, and patience. */
import type { Clock } from '../../clock';
import { TapdiskError } from '../../errors';
import type { Compare, Etcd } from '../../etcd/etcd';
import { type Fence, FENCE_LOST } from '../../fence';
import { ETCD_READ_BYTES_MAX, ETCD_RETRY_MS, ETCD_TRANSACTION_CHUNKS_MAX } from '../limits';
import { type Hash64, HEADER_BYTES } from './chunk-value';

export interface EtcdStoreOptions {
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly chunkBytes: number;
  /** Conditions of every transaction that changes something; asked anew for each attempt. */
  readonly guard?: () => readonly Compare[];
  /** Hears of a transaction that had no effect since `guard`, as it was asked for, does not hold. */
  readonly doubt?: (guard: readonly Compare[]) => void;
  /**
   * Says when to give up trying. Without one a failed guard is final, and what does not end is tried
   * for ever.
   */
  readonly fence?: Fence | null;
  /** Values kept at most, in bytes. */
  readonly cacheBytes?: number;
  /** Hears of each transaction that was done: the bytes of its values and its revision. */
  readonly written?: (valueBytes: number, revision: number) => void;
  /** Hears what an admin should know: damage, a full cluster, refusals. */
  readonly report?: (reason: TapdiskError) => void;
}

export class StoreContext {
  readonly etcd: Etcd;
  readonly chunkBytes: number;
  /** In one transaction: one that writes may have to tell what it found instead. */
  readonly chunksMax: number;
  readonly guard: () => readonly Compare[];
  readonly written: (valueBytes: number, revision: number) => void;
  readonly report: (reason: TapdiskError) => void;
  private readonly doubt: (guard: readonly Compare[]) => void;
  private readonly clock: Clock;
  private readonly fence: Fence | null;
  private readonly sleepers = new Set<() => void>();
  private isGuardGone = false;

  constructor(
    options: EtcdStoreOptions,
    readonly hash: Hash64,
  ) {
    this.etcd = options.etcd;
    this.chunkBytes = options.chunkBytes;
    const fitting = Math.floor(ETCD_READ_BYTES_MAX / (options.chunkBytes + HEADER_BYTES));
    this.chunksMax = Math.max(1, Math.min(ETCD_TRANSACTION_CHUNKS_MAX, fitting));
    this.guard = options.guard ?? (() => []);
    this.doubt = options.doubt ?? (() => undefined);
    this.written = options.written ?? (() => undefined);
    this.report = options.report ?? (() => undefined);
    this.clock = options.clock;
    this.fence = options.fence ?? null;
  }

  get isLost(): boolean {
    return this.isGuardGone || this.fence?.state() === FENCE_LOST;
  }

  /** A guard did not hold. Final where no fence knows better: it may have been taken anew since. */
  guardFailed(guard: readonly Compare[]): void {
    if (this.fence === null) this.isGuardGone = true;
    this.doubt(guard);
  }

  /** Calls back once, when the volume is lost. */
  onLost(lost: () => void): () => void {
    return (
      this.fence?.onChange((state) => {
        if (state !== FENCE_LOST) return;
        this.wake();
        lost();
      }) ?? (() => undefined)
    );
  }

  /**
   * Tries until there is a definite answer, or null where the volume is lost. `unknown` hears of
   * attempts that may have been done.
   *
   * @throws TapdiskError that is not transient
   */
  async answer<T>(attempt: () => Promise<T>, unknown: () => void = () => {}): Promise<T | null> {
    while (!this.isLost) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof TapdiskError) || !error.transient) throw error;
        unknown();
        await this.pause();
      }
    }
    return null;
  }

  /** A short time, shorter when the volume is lost. */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const awake = (): void => {
        timer.cancel();
        this.sleepers.delete(awake);
        resolve();
      };
      const timer = this.clock.setTimer(ETCD_RETRY_MS, awake);
      this.sleepers.add(awake);
    });
  }

  private wake(): void {
    for (const awake of [...this.sleepers]) awake();
  }
}
