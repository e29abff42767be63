/**
 * Keeps etcd's history short, as far as this process makes it long: etcd keeps every overwritten
 * value until somebody compacts, and its own auto-compaction does not keep pace with a disk.
 */
import { assert } from '../assert';
import type { Etcd } from './etcd';
import { COMPACT_AFTER_BYTES, COMPACT_AFTER_REVISIONS, COMPACT_TIMEOUT_MS } from './limits';

export interface CompactorSetting {
  readonly afterBytes?: number;
  readonly afterRevisions?: number;
  /** Hears why a compaction failed; the next one is tried a period later. */
  readonly onFailed?: (error: unknown) => void;
}

/** One for each process and cluster. */
export class Compactor {
  private bytes = 0;
  private writes = 0;
  /** The newest revision when the period before this one ended: what is older nobody reads. */
  private targetRevision = 0;
  private latestRevision = 0;
  private readonly held = new Map<symbol, number>();
  private underWay: Promise<void> | null = null;
  private closed = false;

  constructor(
    private readonly etcd: Pick<Etcd, 'compact'>,
    private readonly setting: CompactorSetting = {},
  ) {}

  /**
   * To be told of each transaction of this process that was done: the bytes of its values and the
   * revision of its reply. Returns at once; compacts in the background when a period is full.
   */
  written(valueBytes: number, revision: number): void {
    assert(valueBytes >= 0 && revision > 0, 'a transaction has a size and a revision');
    this.bytes += valueBytes;
    this.writes += 1;
    this.latestRevision = Math.max(this.latestRevision, revision);
    const { afterBytes = COMPACT_AFTER_BYTES, afterRevisions = COMPACT_AFTER_REVISIONS } =
      this.setting;
    if (this.bytes < afterBytes && this.writes < afterRevisions) return;
    this.endPeriod();
  }

  /** Keeps a revision readable until the returned function is called. */
  hold(revision: number): () => void {
    const key = Symbol('held revision');
    this.held.set(key, revision);
    return () => void this.held.delete(key);
  }

  /** Begins nothing any more, and waits for a compaction that is under way. */
  async close(): Promise<void> {
    this.closed = true;
    await this.underWay;
  }

  private endPeriod(): void {
    // A compaction that lasts longer than a period is waited for: the period goes on.
    if (this.underWay !== null || this.closed) return;
    const revision = Math.min(this.targetRevision, ...this.held.values());
    this.bytes = 0;
    this.writes = 0;
    this.targetRevision = this.latestRevision;
    if (revision <= 0) return;
    this.underWay = this.compact(revision).finally(() => (this.underWay = null));
  }

  private async compact(revision: number): Promise<void> {
    try {
      await this.etcd.compact(revision, { deadlineMs: COMPACT_TIMEOUT_MS });
    } catch (error) {
      this.setting.onFailed?.(error);
    }
  }
}
