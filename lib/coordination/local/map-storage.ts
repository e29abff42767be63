/**
 * The durable half of a chunk map, in a file.
 *
 * A committed entry is in the kernel's page cache, which the death of a process does not touch; a
 * synced one is on the disk. Commits are written one group after another, since two writes of the
 * same entry under way at once could end in either order.
 */
import { constants } from 'node:os';
import { assert } from '../../assert';
import type { ErrnoCallback } from '../../store/chunk-store';
import type { MapEntry, MapStorage } from '../coordination';
import { MAP_WRITES_IN_FLIGHT_MAX } from '../limits';
import { MAP_ENTRY_BYTES } from '../map-entries';
import type { StoredRecord } from '../stored-record';
import { chunkCountOf } from '../volume-geometry';
import type { FileSystem } from './file-system';
import { extendMapFile, mapEntryPosition, readMapPages } from './map-file';

const { EBADF, EROFS } = constants.errno;

export interface OpenMap {
  readonly fd: number;
  readonly path: string;
  readonly readOnly: boolean;
  /** The process before did not release: it may have committed entries and not synced them. */
  readonly uncleanBefore: boolean;
  readonly fileSystem: FileSystem;
  /** The record as it is now: its layers and its size change while the map is open. */
  readonly record: () => StoredRecord;
}

interface WaitingSync {
  readonly done: ErrnoCallback;
  /** Commits that it covers. */
  readonly after: number;
}

export class MapFileStorage implements MapStorage {
  private waitingEntries: MapEntry[] = [];
  private waitingCommits: ErrnoCallback[] = [];
  private waitingSyncs: WaitingSync[] = [];
  /** Commits asked for, and those of them that were written: a sync covers what came before it. */
  private askedCount = 0;
  private writtenCount = 0;
  private isWriting = false;
  private isSyncing = false;
  private isDirty: boolean;
  private isClosed = false;
  /** Of a sync that failed: the kernel dropped what it could not write, so no later one counts. */
  private syncErrno = 0;
  private idle: (() => void)[] = [];

  constructor(private readonly options: OpenMap) {
    this.isDirty = options.uncleanBefore && !options.readOnly;
  }

  load(page: (pageIndex: number, entries: Uint32Array) => void): Promise<void> {
    const { fd, path, fileSystem, record } = this.options;
    return readMapPages(fd, path, record(), fileSystem, page);
  }

  commit(entries: readonly MapEntry[], done: ErrnoCallback): void {
    const refusal = this.isClosed ? EBADF : this.options.readOnly ? EROFS : 0;
    if (refusal !== 0) return void setImmediate(done, refusal);
    const { sizeBytes, chunkBytes } = this.options.record();
    const chunkCount = chunkCountOf(sizeBytes, chunkBytes);
    for (const entry of entries) {
      assert(entry.chunk >= 0 && entry.chunk < chunkCount, 'a map entry is of the volume');
      this.waitingEntries.push(entry);
    }
    this.askedCount++;
    this.waitingCommits.push(done);
    if (!this.isWriting) this.startGroup();
  }

  sync(done: ErrnoCallback): void {
    if (this.isClosed) return void setImmediate(done, EBADF);
    this.waitingSyncs.push({ done, after: this.askedCount });
    this.startSync();
  }

  /**
   * Makes room for so many entries, durably; resolves to the sync's errno. It goes through `sync`,
   * since the kernel tells the failure of a write once only, to whoever asks first.
   */
  async extend(chunks: number): Promise<number> {
    const { fd, fileSystem } = this.options;
    await extendMapFile(fd, chunks, fileSystem);
    this.isDirty = true;
    return new Promise<number>((resolve) => this.sync(resolve));
  }

  /** Waits for what is under way; nothing is taken any more. Resolves to a last sync's errno. */
  async close(): Promise<number> {
    const errno = await new Promise<number>((resolve) => this.sync(resolve));
    this.isClosed = true;
    if (this.isWriting || this.isSyncing) {
      await new Promise<void>((resolve) => this.idle.push(resolve));
    }
    return errno;
  }

  private startGroup(): void {
    const entries = this.waitingEntries;
    const callbacks = this.waitingCommits;
    this.waitingEntries = [];
    this.waitingCommits = [];
    this.isWriting = true;
    const group = new CommitGroup(entries);
    const { fd, fileSystem } = this.options;
    group.write(fd, fileSystem, (errno) => {
      this.isDirty = true;
      this.isWriting = false;
      this.writtenCount += callbacks.length;
      for (const done of callbacks) done(errno);
      // A callback may have committed again, and so have started the next group already.
      if (!this.isWriting && this.waitingCommits.length > 0) this.startGroup();
      this.startSync();
      this.tellIdle();
    });
  }

  /** One fdatasync answers everybody who asked before it began and whose commits were written. */
  private startSync(): void {
    if (this.isSyncing) return;
    const ready = this.waitingSyncs.filter(({ after }) => after <= this.writtenCount);
    if (ready.length === 0) return;
    this.waitingSyncs = this.waitingSyncs.filter(({ after }) => after > this.writtenCount);
    this.isSyncing = true;
    const finish: ErrnoCallback = (errno) => {
      if (errno !== 0) this.syncErrno = errno;
      this.isSyncing = false;
      for (const { done } of ready) done(this.syncErrno);
      this.startSync();
      this.tellIdle();
    };
    if (!this.isDirty || this.syncErrno !== 0) return void setImmediate(finish, 0);
    this.isDirty = false;
    this.options.fileSystem.datasyncThen(this.options.fd, finish);
  }

  private tellIdle(): void {
    if (this.isWriting || this.isSyncing) return;
    const idle = this.idle;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}

/** Entries written together: runs of neighbours, each with one write. */
class CommitGroup {
  private readonly bytes: Buffer;
  /** Index in `bytes` (in entries) at which each run begins, and behind them the end. */
  private readonly runStarts: number[] = [];
  private readonly runChunks: number[] = [];
  private nextRun = 0;
  private inFlight = 0;
  private errno = 0;

  constructor(entries: MapEntry[]) {
    // The sort is stable: of two entries of one chunk the later one stays behind, and counts.
    entries.sort((a, b) => a.chunk - b.chunk);
    this.bytes = Buffer.allocUnsafe(entries.length * MAP_ENTRY_BYTES);
    let count = 0;
    let previous = -1;
    for (const { chunk, layer } of entries) {
      if (chunk === previous) {
        count--;
      } else if (chunk !== previous + 1 || count === 0) {
        this.runStarts.push(count);
        this.runChunks.push(chunk);
      }
      this.bytes.writeUInt32LE(layer, count * MAP_ENTRY_BYTES);
      count++;
      previous = chunk;
    }
    this.runStarts.push(count);
  }

  write(fd: number, fileSystem: FileSystem, done: ErrnoCallback): void {
    if (this.runChunks.length === 0) return void setImmediate(done, 0);
    const written: ErrnoCallback = (errno) => {
      if (errno !== 0) this.errno = errno;
      this.inFlight--;
      if (this.nextRun < this.runChunks.length) this.writeNext(fd, fileSystem, written);
      else if (this.inFlight === 0) done(this.errno);
    };
    const first = Math.min(MAP_WRITES_IN_FLIGHT_MAX, this.runChunks.length);
    for (let i = 0; i < first; i++) this.writeNext(fd, fileSystem, written);
  }

  private writeNext(fd: number, fileSystem: FileSystem, written: ErrnoCallback): void {
    const run = this.nextRun++;
    this.inFlight++;
    const from = this.runStarts[run] * MAP_ENTRY_BYTES;
    const to = this.runStarts[run + 1] * MAP_ENTRY_BYTES;
    const position = mapEntryPosition(this.runChunks[run]);
    fileSystem.writeThen(fd, this.bytes.subarray(from, to), position, written);
  }
}
