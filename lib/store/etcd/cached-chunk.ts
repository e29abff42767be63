/** A chunk as this process knows it: its committed value, and who waits for it or would change it. */
import type { ChunkIo } from '../chunk-io';
import type { ErrnoCallback } from '../chunk-store';
import { HEADER_BYTES } from './chunk-value';

/** A write (of `io`) or a punch (of zeros) that waits for its transaction. */
export interface Change {
  readonly offset: number;
  readonly length: number;
  readonly io: ChunkIo | null;
  /** Of a punch. */
  readonly done: ErrnoCallback | null;
}

/** Bookkeeping of a chunk in the cache, so that very many absent ones have a limit too. */
const OVERHEAD_BYTES = 256;

export class CachedChunk {
  /** As it lies in etcd, with its header; null where the key is absent. Never changed in place. */
  value: Buffer | null = null;
  /** Of the key, 0 where it is absent: what the next transaction compares. */
  modRevision = 0;
  /** `value` and `modRevision` are what the cluster has. */
  isLoaded = false;
  isLoading = false;
  isWriting = false;
  /** The value is not this chunk's: only writing the whole chunk mends it. */
  isDamaged = false;
  /** A write that was given up may still arrive: nothing is kept until one has succeeded. */
  isUncertain = false;
  /**
   * An attempt to make the key from nothing may still arrive. Whether the key is absent for the first
   * or the second time no comparison tells, so from now on it is made empty and not deleted.
   */
  mayReappear = false;
  reads: ChunkIo[] = [];
  changes: Change[] = [];
  /** Neighbours in the order of use. */
  older: CachedChunk | null = null;
  newer: CachedChunk | null = null;

  constructor(
    readonly layer: number,
    readonly chunk: number,
    readonly key: string,
  ) {}

  get bytes(): number {
    return OVERHEAD_BYTES + (this.value?.length ?? 0);
  }

  /** Somebody waits for it, or it knows what etcd would not tell. */
  get isBusy(): boolean {
    if (this.isUncertain || this.mayReappear) return true;
    return this.isLoading || this.isWriting || this.reads.length > 0 || this.changes.length > 0;
  }

  /** Copies a piece of the committed chunk to where a transfer wants it. */
  copyTo(io: ChunkIo): void {
    const { bytes } = io.memory;
    const { value } = this;
    const from = HEADER_BYTES + io.offset;
    const there = value === null ? 0 : Math.max(0, Math.min(io.length, value.length - from));
    if (there > 0) value!.copy(bytes, io.memoryOffset, from, from + there);
    if (there < io.length) bytes.fill(0, io.memoryOffset + there, io.memoryOffset + io.length);
  }
}

/** The chunk's value with changes laid over it, its header still empty; null to have no key. */
export function changedValue(chunk: CachedChunk, changes: readonly Change[]): Buffer | null {
  const before = chunk.value;
  // No larger than its data: the cache counts that.
  let roomBytes = before === null ? HEADER_BYTES : before.length;
  for (const { offset, length, io } of changes) {
    if (io !== null) roomBytes = Math.max(roomBytes, HEADER_BYTES + offset + length);
  }
  const room = Buffer.allocUnsafe(roomBytes);
  let end = HEADER_BYTES;
  if (before !== null && !chunk.isDamaged) {
    end = before.length;
    // What the first change lays over need not be copied: of whole chunks that is all.
    const first = changes.at(0);
    const coversAll =
      first !== undefined &&
      first.io !== null &&
      first.offset === 0 &&
      HEADER_BYTES + first.length >= end;
    if (!coversAll) before.copy(room);
  }
  for (const { offset, length, io } of changes) {
    const from = HEADER_BYTES + offset;
    const to = from + length;
    if (io === null) {
      // What follows the data reads as zeros anyway.
      if (to >= end) end = Math.min(end, from);
      else room.fill(0, from, to);
      continue;
    }
    if (from > end) room.fill(0, end, from);
    io.memory.bytes.copy(room, from, io.memoryOffset, io.memoryOffset + length);
    end = Math.max(end, to);
  }
  return end === HEADER_BYTES && !chunk.mayReappear ? null : room.subarray(0, end);
}

/** Whether a change needs nothing of what was there. */
export function replacesAll(change: Change, chunkBytes: number): boolean {
  return change.offset === 0 && change.length === chunkBytes;
}

/** Tells who asked for a change how it ended. */
export function endChange({ io, done }: Change, errno: number): void {
  if (io !== null) endTransfer(io, errno);
  else done?.(errno);
}

export function endTransfer(io: ChunkIo, errno: number): void {
  io.errno = errno;
  io.owner.chunkIoDone(io);
}
