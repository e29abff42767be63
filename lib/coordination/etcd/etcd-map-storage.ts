/**
 * The durable half of a chunk map, in pages under keys.
 *
 * What is committed while a transaction is under way shares the next. Each compares the lock, so
 * whoever has lost the volume changes nothing; and the pages as they were, so that one that arrives
 * late, after its caller gave it up and wrote anew, takes nothing back.
 */
import { constants } from 'node:os';
import { assert } from '../../assert';
import { FENCE_LOST, FENCE_OPEN } from '../../fence';
import type { Compare, Operation } from '../../etcd/etcd';
import type { ErrnoCallback } from '../../store/chunk-store';
import { MAP_PAGE_ENTRIES, type MapEntry, type MapStorage } from '../coordination';
import { checkMapEntries, layersOf, mapCorrupt } from '../map-entries';
import type { StoredRecord } from '../stored-record';
import { chunkCountOf } from '../volume-geometry';
import { hasCode, isTransient, type EtcdContext } from './context';
import { mapPageKey } from './keys';
import {
  ATTEMPT_MS_MAX,
  CACHED_PAGES_MAX,
  COMMIT_RETRY_MS,
  PAGES_PER_COMMIT,
  REFUSED_RETRY_MS,
} from './limits';
import { decodeMapPage, encodeMapPage, entriesFor, mapRange, type MapPage } from './map-pages';
import { PageCache } from './page-cache';
import type { Right } from './right';
import { WakeableSleep } from './wakeable-sleep';
import type { WarmMap } from './warm-map';

const { EBADF, EIO, ENOSPC, EROFS } = constants.errno;
const ATTEMPT = { deadlineMs: ATTEMPT_MS_MAX };

export interface EtcdMapSetting {
  readonly context: EtcdContext;
  readonly right: Right;
  readonly readOnly: boolean;
  /** The record as it is now: its layers and its size change while the map is open. */
  readonly record: () => StoredRecord;
  readonly warm: WarmMap | null;
  readonly cachedPagesMax?: number;
}

/** New entries of one page, in the order in which they came. */
type Changes = ReadonlyMap<number, readonly MapEntry[]>;

export class EtcdMapStorage implements MapStorage {
  private readonly cache: PageCache;
  private warm: WarmMap | null;
  private waitingEntries: MapEntry[] = [];
  private waitingCommits: ErrnoCallback[] = [];
  /** Each with the number of commits that it covers. */
  private waitingSyncs: { readonly done: ErrnoCallback; readonly after: number }[] = [];
  private askedCount = 0;
  private endedCount = 0;
  private isWriting = false;
  private isClosed = false;
  private isAbandoned = false;
  private idle: (() => void)[] = [];
  private readonly pause: WakeableSleep;

  constructor(private readonly setting: EtcdMapSetting) {
    const { context, right, cachedPagesMax = CACHED_PAGES_MAX } = setting;
    assert(cachedPagesMax >= PAGES_PER_COMMIT, 'the pages of a commit are kept until it is done');
    this.cache = new PageCache(cachedPagesMax);
    this.warm = setting.warm;
    this.pause = new WakeableSleep(context.clock);
    right.fence.onChange(() => this.pause.wake());
  }

  async load(page: (pageIndex: number, entries: Uint32Array) => void): Promise<void> {
    const { context, record } = this.setting;
    const { warm } = this;
    this.warm = null;
    await warm?.refresh();
    if (warm?.isKept === true) {
      for (const kept of warm.take()) this.tell(kept, page);
      return;
    }
    await context.eachPage(mapRange(record().uuid), (found) => {
      for (const keyValue of found) this.tell(decodeMapPage(keyValue, record().uuid), page);
    });
  }

  commit(entries: readonly MapEntry[], done: ErrnoCallback): void {
    const refusal = this.isClosed ? EBADF : this.setting.readOnly ? EROFS : 0;
    if (refusal !== 0) return void queueMicrotask(() => done(refusal));
    const { sizeBytes, chunkBytes } = this.setting.record();
    const chunkCount = chunkCountOf(sizeBytes, chunkBytes);
    for (const entry of entries) {
      assert(entry.chunk >= 0 && entry.chunk < chunkCount, 'a map entry is of the volume');
      this.waitingEntries.push(entry);
    }
    this.askedCount++;
    this.waitingCommits.push(done);
    if (!this.isWriting) void this.writeGroups();
  }

  /** A commit that was acknowledged is on a majority's disks: there is nothing to do but wait. */
  sync(done: ErrnoCallback): void {
    if (this.isClosed) return void queueMicrotask(() => done(EBADF));
    this.waitingSyncs.push({ done, after: this.askedCount });
    if (!this.isWriting) queueMicrotask(() => this.tellSyncs());
  }

  /** Resolves when nothing is under way; false where something still is after so long. */
  whenIdle(budgetMs: number): Promise<boolean> {
    if (!this.isWriting) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = this.setting.context.clock.setTimer(budgetMs, () => resolve(false));
      this.idle.push(() => {
        timer.cancel();
        resolve(true);
      });
    });
  }

  /** Takes nothing any more; what is under way goes on. */
  close(): void {
    this.isClosed = true;
  }

  /** What is under way fails, whatever becomes of it. */
  abandon(): void {
    this.close();
    this.isAbandoned = true;
    this.pause.wake();
  }

  private tell(kept: MapPage, page: (pageIndex: number, entries: Uint32Array) => void): void {
    const { record, readOnly } = this.setting;
    const { pageIndex } = kept;
    const path = `etcd key ${mapPageKey(record().uuid, pageIndex)}`;
    if (!readOnly) this.cache.put(kept);
    const entries = entriesFor(kept, record());
    if (kept.entries.subarray(entries.length).some((layer) => layer !== 0)) {
      throw mapCorrupt(path, "it names chunks behind the volume's end");
    }
    if (checkMapEntries(entries, pageIndex, path, layersOf(record()))) page(pageIndex, entries);
  }

  private async writeGroups(): Promise<void> {
    this.isWriting = true;
    while (this.waitingCommits.length > 0) {
      const entries = this.waitingEntries;
      const callbacks = this.waitingCommits;
      this.waitingEntries = [];
      this.waitingCommits = [];
      const errno = await this.writeGroup(entries);
      this.endedCount += callbacks.length;
      for (const done of callbacks) done(errno);
      this.tellSyncs();
    }
    this.isWriting = false;
    // Asked for from the last one's callback: nothing else would tell it.
    if (this.waitingSyncs.length > 0) queueMicrotask(() => this.tellSyncs());
    for (const tell of this.idle.splice(0)) tell();
  }

  private tellSyncs(): void {
    const ready = this.waitingSyncs.filter(({ after }) => after <= this.endedCount);
    this.waitingSyncs = this.waitingSyncs.filter(({ after }) => after > this.endedCount);
    const errno = this.isLost ? EIO : 0;
    for (const { done } of ready) done(errno);
  }

  /** @returns the errno of the first transaction that failed; none is begun after it */
  private async writeGroup(entries: readonly MapEntry[]): Promise<number> {
    const pages = new Map<number, MapEntry[]>();
    for (const entry of entries) {
      const pageIndex = Math.floor(entry.chunk / MAP_PAGE_ENTRIES);
      const changes = pages.get(pageIndex);
      if (changes === undefined) pages.set(pageIndex, [entry]);
      else changes.push(entry);
    }
    const ordered = [...pages].sort(([a], [b]) => a - b);
    for (let from = 0; from < ordered.length; from += PAGES_PER_COMMIT) {
      const errno = await this.writePages(new Map(ordered.slice(from, from + PAGES_PER_COMMIT)));
      if (errno !== 0) return errno;
    }
    return 0;
  }

  /** Tries until it is done, or the volume is lost: that etcd is away is no failure. */
  private async writePages(changes: Changes): Promise<number> {
    const { right } = this.setting;
    /** Once true, some attempt may still take effect, so none may be told to have failed. */
    let mayHappen = false;
    for (;;) {
      if (this.isLost || this.isAbandoned) return EIO;
      let pages: readonly MapPage[];
      try {
        pages = await this.pagesWith(changes);
      } catch (error) {
        if (hasCode(error, 'MAP_CORRUPT') || hasCode(error, 'MAP_VERSION_UNKNOWN')) return EIO;
        await this.pause.sleep(isTransient(error) ? COMMIT_RETRY_MS : REFUSED_RETRY_MS);
        continue;
      }
      try {
        const guard = right.guard();
        if (await this.put(pages, guard)) return 0;
        this.forget(changes);
        // Else an attempt of ours had its effect after all: its pages are read, and written again.
        if (guard !== right.guard() || right.fence.state() !== FENCE_OPEN) {
          await this.pause.sleep(COMMIT_RETRY_MS);
        }
      } catch (error) {
        if (hasCode(error, 'ETCD_NO_SPACE') && !mayHappen) return ENOSPC;
        this.forget(changes);
        if (isTransient(error)) mayHappen = true;
        await this.pause.sleep(isTransient(error) ? COMMIT_RETRY_MS : REFUSED_RETRY_MS);
      }
    }
  }

  /** @returns false where a comparison failed */
  private async put(pages: readonly MapPage[], guard: readonly Compare[]): Promise<boolean> {
    const { context, right, record } = this.setting;
    const { uuid } = record();
    const reply = await context.transact(
      {
        compare: [
          ...guard,
          ...pages.map(({ pageIndex, modRevision }): Compare => {
            return { key: mapPageKey(uuid, pageIndex), target: 'modRevision', equals: modRevision };
          }),
        ],
        success: pages.map(({ pageIndex, entries }): Operation => {
          return {
            put: { key: mapPageKey(uuid, pageIndex), value: encodeMapPage(pageIndex, entries) },
          };
        }),
        failure: [{ range: { key: right.key } }],
      },
      ATTEMPT,
    );
    if (reply.succeeded) {
      for (const page of pages) this.cache.put({ ...page, modRevision: reply.revision });
      return true;
    }
    const [lock] = reply.ranges[0].keyValues;
    const isOurs = guard.some(({ equals }) => equals === lock?.modRevision);
    if (!isOurs) right.doubt(guard);
    return false;
  }

  /** The pages as they are to become. */
  private async pagesWith(changes: Changes): Promise<readonly MapPage[]> {
    await this.fetchMissing([...changes.keys()]);
    return [...changes].map(([pageIndex, entries]) => {
      const before = this.cache.get(pageIndex);
      assert(before !== undefined, 'a page to be changed was read');
      const after = entriesFor(before, this.setting.record());
      for (const { chunk, layer } of entries) after[chunk % MAP_PAGE_ENTRIES] = layer;
      return { ...before, entries: after };
    });
  }

  private async fetchMissing(pageIndexes: readonly number[]): Promise<void> {
    const { context, record } = this.setting;
    const missing = pageIndexes.filter((pageIndex) => this.cache.get(pageIndex) === undefined);
    if (missing.length === 0) return;
    const { uuid } = record();
    const success = missing.map((pageIndex) => ({ range: { key: mapPageKey(uuid, pageIndex) } }));
    const { ranges } = await context.etcd.transaction({ compare: [], success }, ATTEMPT);
    missing.forEach((pageIndex, i) => {
      const [found] = ranges[i].keyValues;
      this.cache.put(
        found === undefined
          ? { pageIndex, entries: new Uint32Array(0), modRevision: 0 }
          : decodeMapPage(found, uuid),
      );
    });
  }

  private forget(changes: Changes): void {
    for (const pageIndex of changes.keys()) this.cache.drop(pageIndex);
  }

  private get isLost(): boolean {
    return this.setting.right.fence.state() === FENCE_LOST;
  }
}
