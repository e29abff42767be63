/** The keys of an etcd cluster in memory: revisions, transactions, history, compaction, quota. */
import { assert } from '../../lib/assert';
import { TapdiskError } from '../../lib/errors';
import type {
  Compare,
  KeyValue,
  Operation,
  Range,
  RangeReply,
  Transaction,
  TransactionReply,
  WatchEvent,
} from '../../lib/etcd/etcd';

/** As etcd's own defaults: --max-txn-ops, --max-request-bytes, gRPC's limit of a reply. */
const OPERATIONS_MAX = 128;
const REQUEST_BYTES_MAX = 1.5 * 1024 * 1024;
const REPLY_BYTES_MAX = 4 * 1024 * 1024;
/** --quota-backend-bytes. */
const QUOTA_BYTES = 2 * 1024 ** 3;

/** What was changed at one revision. */
export interface Change {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

export class EtcdKeys {
  quotaBytes = QUOTA_BYTES;
  /** Raised when a put met the quota; stays until an admin takes it away. */
  hasNoSpaceAlarm = false;
  private revisionNow = 1;
  private compactedAt = 0;
  private readonly values = new Map<string, KeyValue>();
  /** The keys of `values`, in order. */
  private readonly order: string[] = [];
  private history: Change[] = [];
  private liveBytes = 0;
  private superseded: { revision: number; bytes: number }[] = [];

  constructor(
    private readonly hasLease: (leaseId: string) => boolean,
    private readonly onChange: (change: Change) => void,
  ) {}

  get revision(): number {
    return this.revisionNow;
  }

  get compactedRevision(): number {
    return this.compactedAt;
  }

  get usedBytes(): number {
    return this.liveBytes;
  }

  /** With what was overwritten or deleted and not compacted. */
  get databaseBytes(): number {
    return this.superseded.reduce((sum, { bytes }) => sum + bytes, this.liveBytes);
  }

  get(key: string): KeyValue | undefined {
    return this.values.get(key);
  }

  keysOfLease(leaseId: string): string[] {
    return this.order.filter((key) => this.values.get(key)!.leaseId === leaseId);
  }

  range(range: Range): RangeReply {
    const found = this.keysIn(range.key, range.rangeEnd).map((key) => this.values.get(key)!);
    const { minModRevision = 0, limit = 0 } = range;
    const wanted = found.filter(({ modRevision }) => modRevision >= minModRevision);
    const taken = limit > 0 ? wanted.slice(0, limit) : wanted;
    const keyValues = range.countOnly
      ? []
      : taken.map((kv) => ({ ...kv, value: range.keysOnly ? NOTHING : Buffer.from(kv.value) }));
    const more = !range.countOnly && taken.length < wanted.length;
    return { revision: this.revisionNow, keyValues, more, count: found.length };
  }

  transaction({ compare, success, failure = [] }: Transaction): TransactionReply {
    checkSize(compare, success, failure);
    const succeeded = compare.every((condition) => this.holds(condition));
    const operations = succeeded ? success : failure;
    this.checkDoable(operations);
    const ranges: RangeReply[] = [];
    const events = new Map<string, WatchEvent>();
    const revision = this.revisionNow + 1;
    for (const operation of operations) {
      if ('range' in operation) ranges.push(this.range(operation.range));
      else if ('put' in operation) this.put(operation.put, revision, events);
      else this.delete(operation.delete, revision, events);
    }
    if (bytesOf(ranges) > REPLY_BYTES_MAX) throw tooLarge('a reply', REPLY_BYTES_MAX, 'bytes');
    if (events.size > 0) this.changed(revision, [...events.values()]);
    const withRevision = ranges.map((reply) => ({ ...reply, revision: this.revisionNow }));
    return { revision: this.revisionNow, succeeded, ranges: withRevision };
  }

  /** As one change, what the end of a lease does. */
  deleteKeys(keys: readonly string[]): void {
    const revision = this.revisionNow + 1;
    const events = new Map<string, WatchEvent>();
    for (const key of [...keys].sort()) this.delete({ key }, revision, events);
    if (events.size > 0) this.changed(revision, [...events.values()]);
  }

  /** @throws TapdiskError ETCD_COMPACTED */
  changesFrom(revision: number): readonly Change[] {
    if (revision <= this.compactedAt) throw compacted(revision);
    return this.history.filter((change) => change.revision >= revision);
  }

  compact(revision: number): void {
    assert(revision <= this.revisionNow, 'only what has been can be compacted');
    if (revision <= this.compactedAt) return;
    this.compactedAt = revision;
    this.history = this.history.filter((change) => change.revision > revision);
    this.superseded = this.superseded.filter((old) => old.revision > revision);
  }

  private holds(compare: Compare): boolean {
    const found = this.keysIn(compare.key, compare.rangeEnd).map((key) => this.values.get(key)!);
    if (compare.target === 'value') {
      const { equals } = compare;
      return found.length > 0 && found.every(({ value }) => value.equals(equals));
    }
    const { target, equals } = compare;
    if (found.length === 0) return equals === 0;
    return found.every((keyValue) => keyValue[target] === equals);
  }

  /** A transaction is done as a whole or not at all. */
  private checkDoable(operations: readonly Operation[]): void {
    let bytes = 0;
    const changed = new Set<string>();
    for (const operation of operations) {
      if ('range' in operation) continue;
      const keys =
        'put' in operation
          ? [operation.put.key]
          : this.keysIn(operation.delete.key, operation.delete.rangeEnd);
      for (const key of keys) {
        assert(!changed.has(key), `a transaction changes a key once, and ${key} twice`);
        changed.add(key);
      }
      if (!('put' in operation)) continue;
      const { key, value, leaseId } = operation.put;
      bytes += key.length + value.length;
      if (leaseId !== undefined && !this.hasLease(leaseId)) throw leaseNotFound(leaseId);
    }
    if (bytes === 0) return;
    if (this.databaseBytes + bytes > this.quotaBytes) this.hasNoSpaceAlarm = true;
    if (this.hasNoSpaceAlarm) {
      throw new TapdiskError('ETCD_NO_SPACE', "etcd's database has reached its quota");
    }
  }

  private put(
    { key, value, leaseId = '0' }: { key: string; value: Buffer; leaseId?: string },
    revision: number,
    events: Map<string, WatchEvent>,
  ): void {
    const before = this.values.get(key);
    if (before === undefined) this.order.splice(this.positionOf(key), 0, key);
    else this.supersede(before, revision);
    const createRevision = before?.createRevision ?? revision;
    const own = Buffer.from(value);
    const keyValue = { key, value: own, createRevision, modRevision: revision, leaseId };
    this.values.set(key, keyValue);
    this.liveBytes += key.length + value.length;
    events.set(key, { type: 'put', keyValue });
  }

  private delete(
    range: { key: string; rangeEnd?: string },
    revision: number,
    events: Map<string, WatchEvent>,
  ): void {
    for (const key of this.keysIn(range.key, range.rangeEnd)) {
      this.supersede(this.values.get(key)!, revision);
      this.values.delete(key);
      this.order.splice(this.positionOf(key), 1);
      const gone = { createRevision: 0, modRevision: revision, leaseId: '0' };
      events.set(key, { type: 'delete', keyValue: { key, value: NOTHING, ...gone } });
    }
  }

  private supersede({ key, value }: KeyValue, revision: number): void {
    const bytes = key.length + value.length;
    this.liveBytes -= bytes;
    this.superseded.push({ revision, bytes });
  }

  private changed(revision: number, events: readonly WatchEvent[]): void {
    this.revisionNow = revision;
    const change = { revision, events };
    this.history.push(change);
    this.onChange(change);
  }

  private keysIn(key: string, rangeEnd?: string): string[] {
    if (rangeEnd === undefined) return this.values.has(key) ? [key] : [];
    const end = rangeEnd === END_OF_ALL ? this.order.length : this.positionOf(rangeEnd);
    return this.order.slice(this.positionOf(key), end);
  }

  /** Where a key stands in the order, or would. */
  private positionOf(key: string): number {
    let low = 0;
    for (let high = this.order.length; low < high;) {
      const middle = (low + high) >> 1;
      if (this.order[middle] < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const NOTHING = Buffer.alloc(0);

/** As the end of a range: everything from its key on. */
export const END_OF_ALL = '\0';

/** A range by itself comes in pages; those of a transaction are one reply. */
function bytesOf(ranges: readonly RangeReply[]): number {
  const keyValues = ranges.flatMap((reply) => reply.keyValues);
  return keyValues.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
}

function checkSize(
  compare: readonly Compare[],
  success: readonly Operation[],
  failure: readonly Operation[],
): void {
  for (const list of [compare, success, failure]) {
    if (list.length > OPERATIONS_MAX) throw tooLarge('a transaction', OPERATIONS_MAX, 'operations');
  }
  let bytes = 0;
  for (const operation of [...success, ...failure]) {
    if ('put' in operation) bytes += operation.put.key.length + operation.put.value.length;
  }
  if (bytes > REQUEST_BYTES_MAX) throw tooLarge('a request', REQUEST_BYTES_MAX, 'bytes');
}

export function leaseNotFound(leaseId: string): TapdiskError {
  return new TapdiskError('ETCD_LEASE_NOT_FOUND', `etcd has no lease ${leaseId}`);
}

function tooLarge(what: string, limit: number, unit: 'bytes' | 'operations'): TapdiskError {
  return new TapdiskError('ETCD_TOO_LARGE', `${what} is more than ${limit} ${unit}`);
}

function compacted(revision: number): TapdiskError {
  return new TapdiskError('ETCD_COMPACTED', `etcd has forgotten revision ${revision}`);
}
