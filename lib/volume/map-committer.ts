/**
 * Commits map entries in groups: first the data of all of them is made durable, then the entries.
 *
 * So an entry on disk never names a chunk whose data is not there, after a power cut either, and
 * however many chunks are first written at once, they share one sync.
 */
import type { MapEntry, MapStorage } from '../coordination/coordination';
import type { ChunkStore, ErrnoCallback } from '../store/chunk-store';

interface Pending {
  readonly entries: readonly MapEntry[];
  readonly done: ErrnoCallback;
}

export class MapCommitter {
  private waiting: Pending[] = [];
  private isBusy = false;

  constructor(
    private readonly store: ChunkStore,
    private readonly map: MapStorage,
    /** Called after each group of callbacks. */
    private readonly onBatchEnd: () => void,
    /** True after a process that was killed: it may have committed entries and not synced them. */
    private uncommittedToDisk: boolean,
  ) {}

  /** True while there may be committed entries that no sync has made durable yet. */
  get needsSync(): boolean {
    return this.uncommittedToDisk;
  }

  /** Calls back when the entries survive the death of this process; never from inside. */
  commit(entries: readonly MapEntry[], done: ErrnoCallback): void {
    this.waiting.push({ entries, done });
    if (!this.isBusy) this.nextGroup();
  }

  /** Makes every committed entry survive a power cut. */
  sync(done: ErrnoCallback): void {
    this.uncommittedToDisk = false;
    this.map.sync((errno) => {
      if (errno !== 0) this.uncommittedToDisk = true;
      done(errno);
    });
  }

  private nextGroup(): void {
    const group = this.waiting;
    this.waiting = [];
    this.isBusy = true;
    this.store.sync((errno) => {
      if (errno !== 0) return this.groupDone(group, errno);
      this.map.commit(
        group.flatMap(({ entries }) => entries),
        (commitErrno) => this.groupDone(group, commitErrno),
      );
    });
  }

  private groupDone(group: readonly Pending[], errno: number): void {
    this.uncommittedToDisk = true;
    for (const { done } of group) done(errno);
    // Busy until here, so that commits that come from those callbacks share one group as well.
    this.isBusy = false;
    if (this.waiting.length > 0) this.nextGroup();
    this.onBatchEnd();
  }
}
