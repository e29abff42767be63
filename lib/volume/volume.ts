/**
 * An attached volume: sends each transfer to the layer that owns its chunk.
 *
 * The first write to a chunk goes through a transition: space made clean, data written and synced,
 * map entry committed, and only then acknowledged. Everything else is one look-up.
 */
import { getSystemErrorName } from 'node:util';
import { assert } from '../assert';
import type { Attachment, MapEntry } from '../coordination/coordination';
import type { VolumeRecord } from '../coordination/volume-record';
import { TapdiskError } from '../errors';
import { type Fence, FENCE_LOST } from '../fence';
import { SECTOR_BYTES } from '../sector';
import { CHUNK_READ, type ChunkIo, type ChunkIoOwner } from '../store/chunk-io';
import type { ChunkStore, ErrnoCallback } from '../store/chunk-store';
import { FencedStore } from '../store/fenced-store';
import { IoQueue } from '../store/io-queue';
import { heapArea, type MemoryArea } from '../store/memory-area';
import { SyncGate } from '../sync-gate';
import { ChunkMap } from './chunk-map';
import { ChunkTransition } from './chunk-transition';
import { CopyUp } from './copy-up';
import { LAST_FLUSH_WAIT_MS } from './limits';
import { MapCommitter } from './map-committer';

export interface OpenVolume {
  readonly attachment: Attachment;
  readonly store: ChunkStore;
  /**
   * Makes page-aligned memory for transfers of the volume's own; ordinary memory where it is not
   * given, which goes through the page cache.
   */
  readonly allocate?: (lengthBytes: number) => MemoryArea;
}

/** What a volume counts, for statistics. */
export interface VolumeCounters {
  allocatedChunks: number;
  copiedChunks: number;
  discardedChunks: number;
  flushes: number;
}

export class Volume implements ChunkIoOwner {
  readonly chunkBytes: number;
  readonly readOnly: boolean;
  readonly counters: VolumeCounters = {
    allocatedChunks: 0,
    copiedChunks: 0,
    discardedChunks: 0,
    flushes: 0,
  };
  /** Called after each batch of completions; set by the one user of the volume. */
  onBatchEnd: () => void = () => {};

  /** Memory for transfers that are not a guest's; never given back. */
  readonly allocate: (lengthBytes: number) => MemoryArea;

  private readonly store: ChunkStore;
  private readonly layer: number;
  private readonly transitions = new Map<number, ChunkTransition>();
  private readonly committer: MapCommitter;
  private readonly flushGate: SyncGate;
  private readonly copyUp: CopyUp;
  /** Reads of chunks that nobody owns: ended at the next kick. */
  private readonly zeroReads = new IoQueue();
  /** Owners of writes under way in a transition, which are this volume's own meanwhile. */
  private readonly firstWrites = new Map<ChunkIo, ChunkIoOwner>();
  /**
   * Chunks of the current layer that could not be taken out of the map: the durable map may have
   * lost them nevertheless, so it is told again before the next write to them.
   */
  private readonly unsureEntries = new Set<number>();
  private isHandedOver = false;
  private sectorCount: number;

  private constructor(
    record: VolumeRecord,
    private readonly attachment: Attachment,
    private readonly map: ChunkMap,
    options: OpenVolume,
  ) {
    this.store = options.store;
    this.chunkBytes = record.chunkBytes;
    this.sectorCount = record.sizeBytes / SECTOR_BYTES;
    this.readOnly = attachment.readOnly;
    this.layer = record.layer;
    const batchEnd = (): void => this.batchEnded();
    this.store.onBatchEnd = batchEnd;
    const mapNeedsSync = attachment.uncleanBefore && !attachment.readOnly;
    this.committer = new MapCommitter(this.store, attachment.map, batchEnd, mapNeedsSync);
    this.flushGate = new SyncGate((done) => this.syncAll(done), batchEnd);
    this.allocate = options.allocate ?? heapArea;
    this.copyUp = new CopyUp(this.store, this.allocate);
  }

  /**
   * Loads the chunk map. The volume then owns the attachment and the store.
   *
   * @throws TapdiskError of the coordination, or LAYER_NOT_SETTLED of the store
   */
  static async open(options: OpenVolume): Promise<Volume> {
    const { attachment } = options;
    const { record, fence } = attachment;
    const store = fence === null ? options.store : new FencedStore(options.store, fence);
    assert(store.chunkBytes === record.chunkBytes, 'store and record agree on chunks');
    const map = new ChunkMap(Math.ceil(record.sizeBytes / record.chunkBytes));
    await attachment.map.load((index, entries) => map.load(index, entries));
    // The killed process acknowledged writes that no sync of this one would know of.
    if (attachment.uncleanBefore && !attachment.readOnly) await store.settleLayer(record.layer);
    return new Volume(record, attachment, map, { ...options, store });
  }

  /** As it is kept: a resize changes it before it changes `sectors`. */
  get record(): VolumeRecord {
    return this.attachment.record;
  }

  /** The size that is served. */
  get sectors(): number {
    return this.sectorCount;
  }

  /** Null where the volume cannot be lost. */
  get fence(): Fence | null {
    return this.attachment.fence;
  }

  /** Number of chunks that a layer owns. */
  get ownedChunks(): number {
    return this.map.owned;
  }

  /** For statistics: the store below. */
  describeStore(): Readonly<Record<string, unknown>> {
    return this.store.describe();
  }

  /** Queues a transfer; its layer is filled in here. As ChunkStore.submit. */
  submit(io: ChunkIo): void {
    if (this.transitions.size > 0) {
      const transition = this.transitions.get(io.chunk);
      if (transition !== undefined) return transition.park(io);
    }
    const owner = this.map.get(io.chunk);
    if (owner === this.layer) {
      if (this.unsureEntries.size > 0 && io.operation !== CHUNK_READ) {
        if (this.unsureEntries.has(io.chunk)) return this.confirmEntry(io);
      }
      io.layer = owner;
      this.store.submit(io);
    } else if (io.operation === CHUNK_READ) {
      if (owner === 0) return this.zeroReads.push(io);
      io.layer = owner;
      this.store.submit(io);
    } else {
      this.firstWrite(io, owner);
    }
  }

  /** Changes the size in the record alone; see Attachment.resize. */
  async resizeRecord(sizeBytes: number): Promise<void> {
    await this.attachment.resize(sizeBytes);
  }

  /**
   * Serves the size that the record has by now. No discard may be in flight: one that reaches the
   * end takes all of the last chunk, which is larger afterwards.
   */
  followRecord(): void {
    const { sizeBytes } = this.record;
    this.map.resize(Math.ceil(sizeBytes / this.chunkBytes));
    this.sectorCount = sizeBytes / SECTOR_BYTES;
  }

  kick(): void {
    this.store.kick();
    if (!this.zeroReads.isEmpty) {
      this.endZeroReads();
      this.onBatchEnd();
    }
  }

  /** Calls back when everything acknowledged before this call survives a power cut. */
  flush(done: ErrnoCallback): void {
    this.counters.flushes++;
    this.flushGate.flush(done);
  }

  /** Chunks with an owner in [from, end), one at a time; -1 when there is none. */
  nextOwnedChunk(from: number, end: number): number {
    return this.map.nextOwned(from, end);
  }

  /** The first chunk without an owner in [from, end); -1 when there is none. */
  nextFreeChunk(from: number, end: number): number {
    return this.map.nextFree(from, end);
  }

  /** True where the chunk lies in the layer that takes writes. */
  ownsInCurrentLayer(chunk: number): boolean {
    return this.map.get(chunk) === this.layer;
  }

  /**
   * Takes whole chunks out of the map and gives their space back. Transfers that come meanwhile
   * wait. Calls back with the errno of the first failure.
   */
  dropChunks(chunks: readonly number[], done: ErrnoCallback): void {
    const busy = chunks.find((chunk) => this.transitions.has(chunk));
    if (busy !== undefined) {
      this.transitions.get(busy)?.whenDone(() => this.dropChunks(chunks, done));
      return;
    }
    const before = chunks.map((chunk) => this.map.get(chunk));
    const transitions = chunks.map((chunk) => this.beginTransition(chunk));
    const finish = (errno: number): void => {
      for (const transition of transitions) this.endTransition(transition);
      done(errno);
    };
    const entries: MapEntry[] = chunks.map((chunk) => ({ chunk, layer: 0 }));
    this.committer.commit(entries, (errno) => {
      if (errno !== 0) {
        chunks.forEach((chunk, i) => {
          if (before[i] === this.layer) this.unsureEntries.add(chunk);
        });
        return finish(errno);
      }
      // Not before: whoever sees 0 may say so, and it must be as true after a crash.
      for (const chunk of chunks) {
        this.map.set(chunk, 0);
        this.unsureEntries.delete(chunk);
      }
      this.counters.discardedChunks += chunks.length;
      this.punchAll(
        chunks.filter((_, i) => before[i] === this.layer),
        finish,
      );
    });
  }

  /** Punches a part of a chunk that the current layer owns. */
  punchWithin(chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    const transition = this.transitions.get(chunk);
    if (transition !== undefined) {
      transition.whenDone(() => this.punchWithin(chunk, offset, length, done));
      return;
    }
    if (!this.ownsInCurrentLayer(chunk)) return this.store.sync(done);
    this.store.punch(this.layer, chunk, offset, length, done);
  }

  /**
   * Flushes, then gives the volume back. No transfer may be in flight. Of a volume that is lost
   * nothing is flushed: it is another's.
   *
   * @throws TapdiskError LAST_FLUSH_FAILED; the volume then stays attached, as after a crash
   * VOLUME_STALLED where it cannot be flushed until its right is confirmed; close it again then
   */
  async close(): Promise<void> {
    assert(this.transitions.size === 0, 'a volume is closed when idle');
    if (this.isHandedOver) return this.store.close();
    if (!this.readOnly) await this.flushBeforeClose();
    await this.store.close();
    await this.attachment.release();
  }

  /**
   * Flushes, then gives the volume to the standby of that name. No transfer may be in flight. Where
   * it rejects, the volume is this one's still; else only `close` may follow.
   *
   * @throws TapdiskError LAST_FLUSH_FAILED, and those of Attachment.handOver
   */
  async handOver(to: string): Promise<void> {
    assert(this.transitions.size === 0, 'a volume is handed over when idle');
    await this.flushBeforeClose();
    await this.attachment.handOver(to);
    this.isHandedOver = true;
  }

  chunkIoDone(io: ChunkIo): void {
    const owner = this.firstWrites.get(io);
    assert(owner !== undefined, 'the volume owns only the first writes of a transition');
    this.firstWriteLanded(io, owner, io.errno);
  }

  private firstWrite(io: ChunkIo, oldLayer: number): void {
    const transition = this.beginTransition(io.chunk);
    const { owner } = io;
    this.firstWrites.set(io, owner);
    if (oldLayer !== 0) {
      this.counters.copiedChunks++;
      this.copyUp.copy(io, oldLayer, this.layer, (errno) =>
        this.firstWriteLanded(io, owner, errno),
      );
      return;
    }
    // A write that was never acknowledged, or a discard cut short, may have left bytes here.
    this.store.punch(this.layer, io.chunk, 0, this.chunkBytes, (errno) => {
      if (errno !== 0) return this.firstWriteOver(io, owner, transition, errno);
      io.owner = this;
      io.layer = this.layer;
      this.store.submit(io);
      this.store.kick();
    });
  }

  private firstWriteLanded(io: ChunkIo, owner: ChunkIoOwner, errno: number): void {
    const transition = this.transitions.get(io.chunk);
    assert(transition !== undefined, 'a first write has a transition');
    if (errno !== 0) return this.firstWriteOver(io, owner, transition, errno);
    const entry = { chunk: io.chunk, layer: this.layer };
    this.committer.commit([entry], (commitErrno) => {
      const over = (): void => this.firstWriteOver(io, owner, transition, commitErrno);
      if (commitErrno === 0) {
        this.map.set(io.chunk, this.layer);
        this.counters.allocatedChunks++;
      } else if (this.map.get(io.chunk) === 0) {
        // The entry may be there nevertheless: then it must name zeros, as this map says.
        return this.store.punch(this.layer, io.chunk, 0, this.chunkBytes, over);
      }
      over();
    });
  }

  private firstWriteOver(
    io: ChunkIo,
    owner: ChunkIoOwner,
    transition: ChunkTransition,
    errno: number,
  ): void {
    this.firstWrites.delete(io);
    this.endTransition(transition);
    io.owner = owner;
    io.errno = errno;
    owner.chunkIoDone(io);
  }

  /** Tells the durable map of a chunk anew, and then sends a write to it the ordinary way. */
  private confirmEntry(io: ChunkIo): void {
    const { owner } = io;
    const transition = this.beginTransition(io.chunk);
    this.committer.commit([{ chunk: io.chunk, layer: this.layer }], (errno) => {
      if (errno !== 0) return this.firstWriteOver(io, owner, transition, errno);
      this.unsureEntries.delete(io.chunk);
      transition.park(io);
      this.endTransition(transition);
    });
  }

  private beginTransition(chunk: number): ChunkTransition {
    assert(!this.transitions.has(chunk), 'a chunk is in one transition at a time');
    const transition = new ChunkTransition(chunk);
    this.transitions.set(chunk, transition);
    return transition;
  }

  private endTransition(transition: ChunkTransition): void {
    this.transitions.delete(transition.chunk);
    transition.end((io) => this.submit(io));
  }

  private punchAll(chunks: readonly number[], done: ErrnoCallback): void {
    let pending = chunks.length;
    if (pending === 0) return done(0);
    let failed = 0;
    for (const chunk of chunks) {
      this.store.punch(this.layer, chunk, 0, this.chunkBytes, (errno) => {
        if (errno !== 0) failed = errno;
        if (--pending === 0) done(failed);
      });
    }
  }

  private syncAll(done: ErrnoCallback): void {
    let pending = 1;
    let failed = 0;
    const oneDone = (errno: number): void => {
      if (errno !== 0) failed = errno;
      if (--pending === 0) done(failed);
    };
    if (this.committer.needsSync) {
      pending++;
      this.committer.sync(oneDone);
    }
    this.store.sync(oneDone);
  }

  private async flushBeforeClose(): Promise<void> {
    const { fence } = this;
    if (fence?.state() === FENCE_LOST) return;
    await new Promise<void>((resolve, reject) => {
      const timer =
        fence === null ? null : setTimeout(() => reject(this.stalled()), LAST_FLUSH_WAIT_MS);
      this.flush((errno) => {
        if (timer !== null) clearTimeout(timer);
        if (errno === 0 || fence?.state() === FENCE_LOST) resolve();
        else reject(this.lastFlushFailed(errno));
      });
    });
  }

  private stalled(): TapdiskError {
    return new TapdiskError(
      'VOLUME_STALLED',
      `volume ${this.record.name} could not be flushed within ${LAST_FLUSH_WAIT_MS / 1000} s, as ` +
        `the right to it is not confirmed; see that the cluster is reached, then try again`,
      { transient: true },
    );
  }

  private lastFlushFailed(errno: number): TapdiskError {
    const name = getSystemErrorName(-errno);
    return new TapdiskError(
      'LAST_FLUSH_FAILED',
      `volume ${this.record.name} could not be flushed before its end (${name}), so its last ` +
        `writes may be lost; check the store, then attach it again`,
    );
  }

  private endZeroReads(): void {
    for (let io = this.zeroReads.shift(); io !== null; io = this.zeroReads.shift()) {
      io.memory.bytes.fill(0, io.memoryOffset, io.memoryOffset + io.length);
      io.errno = 0;
      io.owner.chunkIoDone(io);
    }
  }

  private batchEnded(): void {
    if (!this.zeroReads.isEmpty) this.endZeroReads();
    this.onBatchEnd();
    this.store.kick();
  }
}
