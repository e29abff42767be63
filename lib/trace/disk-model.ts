/**
 * What a disk must hold, by what was written and acknowledged: the judge of replays and crash tests.
 *
 * Whoever drives the disk tells of each request by the slot it occupies: started, then ended. No
 * request may overlap one in flight if one of the two writes. After the back end has died,
 * `crashed` widens what is allowed, and the driver goes on with a new back end.
 */
import { assert } from '../assert';
import { STATUS_ERROR, STATUS_EOPNOTSUPP, STATUS_OKAY } from '../vbd/request';
import { REPLAY_DEPTH_MAX } from './limits';
import { describeMismatch, type Mismatch } from './mismatch';
import type { PayloadHash } from './payload-hash';
import { isPayload, isZeros, SECTOR_WORDS } from './sector-payload';
import {
  isHashValue,
  sequenceOfValue,
  VALUE_ABSENT,
  VALUE_ANY,
  VALUE_SET,
  VALUE_UNHEARD,
  VALUE_ZEROS,
  valueOfHash,
  valueOfSequence,
} from './sector-value';
import { UnflushedWrites } from './unflushed-writes';
import { ValueTable } from './value-table';

export interface DiskModelOptions {
  /** Size of the disk. */
  readonly sectors: number;
  /** Part of every payload, so that another run's data is not taken for this one's; 32 bits. */
  readonly seed: number;
  /** Sectors never written must read as zeros; else they are learned when first read. */
  readonly expectZero: boolean;
  /** What must outlive the back end: every acknowledged write, or what a flush covered. */
  readonly survives: 'acknowledged' | 'flushed';
  readonly hash: PayloadHash;
}

const IDLE = 0;
const WRITE = 1;
const RECORDED_WRITE = 2;
const DISCARD = 3;
const FLUSH = 4;

const ORDER_NONE = 0;
const ORDER_FLUSH = 1;
const ORDER_BARRIER = 2;

/** Is told of each sector that holds what it must not. */
export type MismatchListener = (mismatch: Mismatch) => void;

export class DiskModel {
  readonly current = new ValueTable();
  /** Sectors that were read and compared. */
  sectorsVerified = 0;
  /** Sectors whose content was taken as given when it was first read. */
  sectorsLearned = 0;
  /** Number of the next write. */
  nextSequence = 0;
  private readonly unflushed: UnflushedWrites | null;

  private readonly kind = new Uint8Array(REPLAY_DEPTH_MAX);
  private readonly order = new Uint8Array(REPLAY_DEPTH_MAX);
  private readonly sector = new Float64Array(REPLAY_DEPTH_MAX);
  private readonly count = new Float64Array(REPLAY_DEPTH_MAX);
  private readonly value = new Float64Array(REPLAY_DEPTH_MAX);
  private readonly mark = new Float64Array(REPLAY_DEPTH_MAX);
  /** Values of a recorded payload's sectors. */
  private readonly values: (number[] | undefined)[] = [];

  constructor(readonly options: DiskModelOptions) {
    assert(options.seed === options.seed >>> 0, 'a seed has 32 bits');
    assert(Number.isSafeInteger(options.sectors), 'a disk has at most 2^53 sectors');
    this.unflushed = options.survives === 'flushed' ? new UnflushedWrites() : null;
  }

  /** Slot `slot` begins to write; returns the sequence number that its payload must carry. */
  writeStarted(slot: number, sector: number, count: number): number {
    const sequence = this.nextSequence++;
    this.start(slot, WRITE, sector, count);
    this.value[slot] = valueOfSequence(sequence);
    return sequence;
  }

  /** Slot `slot` begins to write zeros. */
  zeroesStarted(slot: number, sector: number, count: number): void {
    this.start(slot, WRITE, sector, count);
    this.value[slot] = VALUE_ZEROS;
  }

  /** Slot `slot` begins a write of data of its own; `sectorBytes(n)` is its n-th sector's. */
  recordedWriteStarted(
    slot: number,
    sector: number,
    count: number,
    sectorBytes: (n: number) => Uint8Array,
  ): void {
    this.start(slot, RECORDED_WRITE, sector, count);
    const values: number[] = [];
    for (let n = 0; n < count; n++) {
      const bytes = sectorBytes(n);
      values.push(bytes.every((byte) => byte === 0) ? VALUE_ZEROS : this.hashValue(bytes));
    }
    this.values[slot] = values;
  }

  /** The write just started is a barrier: on disk, after all before it, when acknowledged. */
  markBarrier(slot: number): void {
    assert(this.kind[slot] === WRITE || this.kind[slot] === RECORDED_WRITE, 'a barrier has begun');
    this.order[slot] = ORDER_BARRIER;
  }

  /** The write just started is a flush that carries data: it flushes what is before it first. */
  markFlush(slot: number): void {
    assert(this.kind[slot] === WRITE || this.kind[slot] === RECORDED_WRITE, 'a flush has begun');
    this.order[slot] = ORDER_FLUSH;
  }

  discardStarted(slot: number, sector: number, count: number): void {
    this.start(slot, DISCARD, sector, count);
  }

  /** A flush without data. */
  flushStarted(slot: number): void {
    this.start(slot, FLUSH, 0, 0);
  }

  /** Slot `slot` was answered with STATUS_*. Reads are not told of. */
  ended(slot: number, status: number): void {
    const kind = this.kind[slot];
    assert(kind !== IDLE, 'a slot ends once');
    this.kind[slot] = IDLE;
    if (status === STATUS_EOPNOTSUPP) return;
    if (status !== STATUS_OKAY) {
      this.mayHaveWritten(slot, kind);
      return;
    }
    if (this.order[slot] !== ORDER_NONE) this.unflushed?.flushedTo(this.mark[slot]);
    if (kind === DISCARD) this.mayHaveWritten(slot, kind);
    else if (kind !== FLUSH) this.wrote(slot, kind);
  }

  /**
   * The back end died: whatever is in flight may have been done or not, sector by sector, and so
   * may acknowledged writes that no flush covered, if only flushed data is to survive.
   */
  crashed(): void {
    for (let slot = 0; slot < REPLAY_DEPTH_MAX; slot++) {
      if (this.kind[slot] !== IDLE) this.ended(slot, STATUS_ERROR);
    }
    this.unflushed?.crash(this.current);
  }

  /**
   * The back end died, and what is in flight was sent again to its successor. As `crashed`, but
   * those requests will still end, and until then nobody reads where they write.
   */
  backEndReplaced(): void {
    this.unflushed?.crash(this.current);
    this.mark.fill(this.unflushed?.mark ?? 0);
  }

  /** True while a request is in flight, reads aside. */
  get busy(): boolean {
    return this.kind.some((kind) => kind !== IDLE);
  }

  /** Number of sectors that may hold one of several values. */
  get uncertainSectors(): number {
    return this.current.sets.size;
  }

  /**
   * Compares what was read with what must be there; returns the number of sectors that differ.
   * @param at word index of the first sector's first word.
   */
  check(
    sector: number,
    count: number,
    words: Int32Array,
    at: number,
    listener: MismatchListener | null,
  ): number {
    const { seed } = this.options;
    let mismatches = 0;
    for (let s = sector; s < sector + count; s++, at += SECTOR_WORDS) {
      const value = this.current.get(s);
      const sequence = sequenceOfValue(value);
      const fits =
        sequence >= 0 ? isPayload(words, at, s, sequence, seed) : this.fits(s, value, words, at);
      if (fits) continue;
      mismatches++;
      listener?.(describeMismatch(words, at, s, this.current.alternatives(s), seed));
    }
    this.sectorsVerified += count;
    return mismatches;
  }

  private start(slot: number, kind: number, sector: number, count: number): void {
    assert(slot >= 0 && slot < REPLAY_DEPTH_MAX, 'a slot is within the greatest depth');
    assert(this.kind[slot] === IDLE, 'a slot holds one request');
    assert(sector + count <= this.options.sectors, 'a request is within the disk');
    this.kind[slot] = kind;
    this.order[slot] = kind === FLUSH ? ORDER_FLUSH : ORDER_NONE;
    this.sector[slot] = sector;
    this.count[slot] = count;
    this.mark[slot] = this.unflushed?.mark ?? 0;
  }

  private wrote(slot: number, kind: number): void {
    const sector = this.sector[slot];
    const count = this.count[slot];
    const durable = this.order[slot] === ORDER_BARRIER;
    if (kind === WRITE) {
      this.put(sector, count, this.value[slot], durable);
      return;
    }
    const values = this.values[slot] ?? [];
    for (let n = 0; n < count; n++) this.put(sector + n, 1, values[n], durable);
  }

  private put(sector: number, count: number, value: number, durable: boolean): void {
    if (durable) this.unflushed?.addDurable(sector, count, value);
    else this.unflushed?.add(this.current, sector, count, value, false);
    for (let s = sector; s < sector + count; s++) this.current.set(s, value);
  }

  private mayHaveWritten(slot: number, kind: number): void {
    const sector = this.sector[slot];
    const count = this.count[slot];
    if (kind === DISCARD) {
      // Sectors never heard of stay so: a discard may span terabytes, and cannot surprise there.
      this.unflushed?.addSparse(this.current, sector, count, VALUE_ZEROS);
      this.current.table.forEachSet(sector, count, (s) => this.current.allow(s, VALUE_ZEROS));
      return;
    }
    const values = kind === RECORDED_WRITE ? this.values[slot] : undefined;
    for (let n = 0; n < count; n++) {
      const value = values === undefined ? this.value[slot] : values[n];
      this.unflushed?.add(this.current, sector + n, 1, value, true);
      this.current.allow(sector + n, value);
    }
  }

  /** The rarer cases: anything but one certain write of ours. */
  private fits(sector: number, value: number, words: Int32Array, at: number): boolean {
    if (value === VALUE_ZEROS) return isZeros(words, at);
    if (value === VALUE_ABSENT || value === VALUE_UNHEARD) {
      if (this.options.expectZero) return isZeros(words, at);
      return this.learn(sector, words, at);
    }
    if (value === VALUE_ANY) return this.learn(sector, words, at);
    if (isHashValue(value)) return this.hashAt(words, at) === value;
    assert(value === VALUE_SET, 'a sector value is of a known kind');
    return this.settle(sector, words, at);
  }

  /** One of several values, or none of them. What was read once must be read again. */
  private settle(sector: number, words: Int32Array, at: number): boolean {
    const allowed = this.current.alternatives(sector);
    const found = this.identify(sector, words, at);
    const hash = this.hashAt(words, at);
    const unheard = allowed.includes(VALUE_UNHEARD);
    if (allowed.includes(found)) this.current.set(sector, found);
    else if (allowed.includes(hash)) this.current.set(sector, hash);
    else if (unheard && (found === VALUE_ZEROS || !this.options.expectZero)) {
      this.current.set(sector, found);
    } else return false;
    return true;
  }

  private learn(sector: number, words: Int32Array, at: number): boolean {
    this.current.set(sector, this.identify(sector, words, at));
    this.sectorsLearned++;
    return true;
  }

  private identify(sector: number, words: Int32Array, at: number): number {
    if (isZeros(words, at)) return VALUE_ZEROS;
    const sequence = (words[at + 4] >>> 0) + (words[at + 5] >>> 0) * 4294967296;
    if (sequence < this.nextSequence && isPayload(words, at, sector, sequence, this.options.seed)) {
      return valueOfSequence(sequence);
    }
    return this.hashAt(words, at);
  }

  private hashAt(words: Int32Array, at: number): number {
    return this.hashValue(
      new Uint8Array(words.buffer, words.byteOffset + at * 4, SECTOR_WORDS * 4),
    );
  }

  private hashValue(bytes: Uint8Array): number {
    return valueOfHash(this.options.hash(bytes));
  }
}
