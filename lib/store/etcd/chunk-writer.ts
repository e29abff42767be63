/**
 * Commits changed chunks, many with one transaction, each of them once at a time.
 *
 * Besides the guard a transaction compares each key's modRevision, since an attempt that was given
 * up may arrive late: it must find that the key has changed, and do nothing. By the same comparison,
 * and the write's own number in the value, an attempt whose reply was lost is found to have been done.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../../assert';
import { sentenceOf, TapdiskError } from '../../errors';
import type { Compare, Operation, TransactionReply } from '../../etcd/etcd';
import {
  ETCD_ATTEMPT_TIMEOUT_MS,
  ETCD_WRITE_BYTES_MAX,
  ETCD_WRITES_IN_FLIGHT_MAX,
} from '../limits';
import {
  type CachedChunk,
  type Change,
  changedValue,
  endChange,
  replacesAll,
} from './cached-chunk';
import type { ChunkCache } from './chunk-cache';
import type { ChunkLoader } from './chunk-loader';
import { isSameWrite, sealValue } from './chunk-value';
import { compareHolds } from './compare-holds';
import type { StoreContext } from './store-context';

const EIO = 5;
const ENOSPC = 28;

/** A chunk's part of a transaction. */
interface Write {
  readonly chunk: CachedChunk;
  /** Null: the key is deleted. */
  readonly value: Buffer | null;
  readonly changes: readonly Change[];
}

interface Batch {
  readonly writes: readonly Write[];
  readonly bytes: number;
  /** An attempt may have been done whose reply is missing. */
  isUnknown: boolean;
  /** Everybody was told; what comes of it is nobody's concern any more. */
  isOver: boolean;
}

export class ChunkWriter {
  private dirty: CachedChunk[] = [];
  private readonly inFlight = new Set<Batch>();
  private readonly writer = randomBytes(4).readUInt32LE();
  private serial = 0;
  /** Since the last write that succeeded: told once. */
  private isRefused = false;

  constructor(
    private readonly context: StoreContext,
    private readonly cache: ChunkCache,
    private readonly loader: ChunkLoader,
    /** A batch has ended, and all were told; what waits in its chunks is to go on. */
    private readonly ended: (chunks: readonly CachedChunk[]) => void,
    private readonly errnoOfRefusal: (error: unknown) => number,
  ) {}

  /** A loaded chunk with changes, which no transaction carries: to be written at the next `pump`. */
  add(chunk: CachedChunk): void {
    assert(chunk.isLoaded && !chunk.isWriting, 'a chunk is written once at a time');
    chunk.isWriting = true;
    this.dirty.push(chunk);
  }

  /** Returns the chunks whose changes ended at once. */
  pump(): readonly CachedChunk[] {
    const ended: CachedChunk[] = [];
    while (this.dirty.length > 0 && this.inFlight.size < ETCD_WRITES_IN_FLIGHT_MAX) {
      const batch = this.nextBatch(ended);
      if (batch.writes.length > 0) this.begin(batch);
    }
    return ended;
  }

  /** The volume is lost: nobody waits for what is under way any longer. */
  failAll(errno: number): void {
    const batches = [...this.inFlight];
    this.inFlight.clear();
    for (const chunk of this.dirty.splice(0)) this.endWrite({ chunk, value: null, changes: [] });
    for (const batch of batches) {
      batch.isOver = true;
      for (const write of batch.writes) this.endWrite(write, errno);
    }
  }

  private nextBatch(ended: CachedChunk[]): Batch {
    const writes: Write[] = [];
    let bytes = 0;
    while (this.dirty.length > 0 && writes.length < this.context.chunksMax) {
      if (writes.length > 0 && bytes + this.context.chunkBytes > ETCD_WRITE_BYTES_MAX) break;
      const chunk = this.dirty.shift()!;
      const write = this.prepare(chunk);
      if (write === null) {
        ended.push(chunk);
        continue;
      }
      writes.push(write);
      bytes += write.value?.length ?? 0;
    }
    return { writes, bytes, isUnknown: false, isOver: false };
  }

  /** Null where there is nothing to do: those who wait were told. */
  private prepare(chunk: CachedChunk): Write | null {
    const { chunkBytes, hash } = this.context;
    const changes = chunk.changes;
    chunk.changes = [];
    if (chunk.isDamaged && !changes.some((change) => replacesAll(change, chunkBytes))) {
      this.endWrite({ chunk, value: null, changes }, EIO);
      return null;
    }
    const value = changedValue(chunk, changes);
    if (value === null && chunk.modRevision === 0) {
      this.endWrite({ chunk, value, changes }, 0);
      return null;
    }
    const write = (this.serial = (this.serial + 1) >>> 0);
    const { layer, chunk: index } = chunk;
    if (value !== null) {
      sealValue(value, { layer, chunk: index, writer: this.writer, write }, hash);
    }
    return { chunk, value, changes };
  }

  private begin(batch: Batch): void {
    this.inFlight.add(batch);
    void this.commit(batch).then((errno) => {
      if (batch.isOver) return;
      this.inFlight.delete(batch);
      if (errno !== null) this.endAll(batch, errno);
      this.ended(batch.writes.map(({ chunk }) => chunk));
    });
  }

  private endAll(batch: Batch, errno: number): void {
    const anyPut = batch.writes.some(({ value }) => value !== null);
    for (const write of batch.writes) {
      // A full cluster deletes nevertheless, but not together with puts.
      if (errno === ENOSPC && anyPut && write.value === null) this.takeBack(write);
      else this.endWrite(write, errno);
    }
  }

  /** The changes wait again, before those that came since. */
  private takeBack({ chunk, changes }: Write): void {
    chunk.changes = [...changes, ...chunk.changes];
    chunk.isWriting = false;
  }

  /** Resolves to the errno, or to null where the chunks are to be written anew. */
  private async commit(batch: Batch): Promise<number | null> {
    const { context } = this;
    try {
      for (;;) {
        const guard = context.guard();
        const reply = await context.answer(
          () => this.attempt(batch, guard),
          () => this.outcomeUnknown(batch),
        );
        if (batch.isOver || reply === null) return EIO;
        if (reply.succeeded) {
          this.committed(batch, reply.revision);
          return 0;
        }
        const outcome = this.judge(batch, guard, reply);
        if (outcome !== 'guard') return outcome === 'done' ? 0 : null;
        context.guardFailed(guard);
        await context.pause();
      }
    } catch (error) {
      for (const { chunk } of batch.writes) {
        if (!batch.isUnknown) continue;
        chunk.isUncertain = true;
        chunk.isLoaded = false;
      }
      if (!this.isRefused) {
        context.report(
          new TapdiskError('CHUNK_WRITE_REFUSED', `etcd refuses a write: ${sentenceOf(error)}`, {
            cause: error,
          }),
        );
      }
      this.isRefused = true;
      return this.errnoOfRefusal(error);
    }
  }

  private outcomeUnknown(batch: Batch): void {
    batch.isUnknown = true;
    for (const { chunk, value } of batch.writes) {
      if (value !== null && chunk.modRevision === 0) chunk.mayReappear = true;
    }
  }

  private attempt(batch: Batch, guard: readonly Compare[]): Promise<TransactionReply> {
    const { writes } = batch;
    const unchanged = writes.map(({ chunk: { key, modRevision } }): Compare => ({
      key,
      target: 'modRevision',
      equals: modRevision,
    }));
    const success = writes.map(({ chunk: { key }, value }): Operation =>
      value === null ? { delete: { key } } : { put: { key, value } },
    );
    const failure = [
      ...guard.map(({ key, rangeEnd }) => ({
        range: rangeEnd === undefined ? { key } : { key, rangeEnd },
      })),
      ...writes.map(({ chunk: { key } }) => ({ range: { key } })),
    ];
    return this.context.etcd.transaction(
      { compare: [...guard, ...unchanged], success, failure },
      { deadlineMs: ETCD_ATTEMPT_TIMEOUT_MS },
    );
  }

  /** Why a transaction did not take place: not our volume, done before, or a key has changed. */
  private judge(
    batch: Batch,
    guard: readonly Compare[],
    reply: TransactionReply,
  ): 'guard' | 'done' | 'changed' {
    const now = batch.writes.map((_, i) => reply.ranges[guard.length + i].keyValues[0]);
    const isDone = batch.writes.every(({ value }, i) =>
      value === null
        ? now[i] === undefined
        : now[i] !== undefined && isSameWrite(now[i].value, value),
    );
    if (batch.isUnknown && isDone) {
      for (const [i, { chunk, value }] of batch.writes.entries()) {
        this.cache.set(chunk, value, now[i]?.modRevision ?? 0);
        chunk.isDamaged = false;
        chunk.isUncertain = false;
      }
      this.context.written(batch.bytes, reply.revision);
      return 'done';
    }
    if (!guard.every((compare, i) => compareHolds(compare, reply.ranges[i].keyValues))) {
      return 'guard';
    }
    // Only an attempt of our own that was given up can have changed it: begin with what is there.
    for (const [i, write] of batch.writes.entries()) {
      this.loader.take(write.chunk, now[i]);
      this.takeBack(write);
    }
    return 'changed';
  }

  private committed(batch: Batch, revision: number): void {
    if (batch.bytes > 0) this.isRefused = false;
    for (const { chunk, value } of batch.writes) {
      this.cache.set(chunk, value, value === null ? 0 : revision);
      chunk.isDamaged = false;
      chunk.isUncertain = false;
    }
    this.context.written(batch.bytes, revision);
  }

  private endWrite({ chunk, changes }: Write, errno = 0): void {
    chunk.isWriting = false;
    for (const change of changes) endChange(change, errno);
  }
}
