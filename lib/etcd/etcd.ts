/**
 * What this project asks of an etcd cluster (v3 API, etcd 3.4 and later), one attempt a call.
 *
 * The retrying, and the recognising of one's own success, is the caller's: only it knows whether a
 * transaction may be sent twice. After an attempt that failed transiently the next one goes to
 * another member. Keys are relative to the cluster's configured prefix.
 */

export interface KeyValue {
  readonly key: string;
  readonly value: Buffer;
  /** Revision at which the key was created since it was last deleted. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** Decimal, as it is 64 bits wide; "0" without a lease. */
  readonly leaseId: string;
}

/** A condition of a transaction. Of a range, every key in it must fulfil it. */
export type Compare = {
  readonly key: string;
  /** Exclusive end of a range; one key without it. */
  readonly rangeEnd?: string;
} & (
  | { readonly target: 'createRevision' | 'modRevision'; readonly equals: number }
  | { readonly target: 'value'; readonly equals: Buffer }
);

export interface Range {
  readonly key: string;
  readonly rangeEnd?: string;
  /** At most so many keys; `more` then tells whether there are others. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** Only keys that were changed at this revision or later. */
  readonly minModRevision?: number;
}

export type Operation =
  | { readonly put: { readonly key: string; readonly value: Buffer; readonly leaseId?: string } }
  | { readonly delete: { readonly key: string; readonly rangeEnd?: string } }
  | { readonly range: Range };

export interface Transaction {
  readonly compare: readonly Compare[];
  /** Done together where every comparison holds. */
  readonly success: readonly Operation[];
  readonly failure?: readonly Operation[];
}

export interface RangeReply {
  /** Of the cluster when it answered. */
  readonly revision: number;
  readonly keyValues: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface TransactionReply {
  readonly revision: number;
  readonly succeeded: boolean;
  /** One for each `range` among the operations that were done, in their order. */
  readonly ranges: readonly RangeReply[];
}

export interface Lease {
  readonly leaseId: string;
  /** What the cluster granted, which may be more than was asked for. */
  readonly ttlMs: number;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** Of a deletion: key and modRevision alone. */
  readonly keyValue: KeyValue;
}

export interface Watcher {
  /**
   * Called with the events of one revision or more, in order; `revision` is the last event's, so
   * a watch from the next one on misses nothing.
   */
  readonly onEvents: (events: readonly WatchEvent[], revision: number) => void;
  /**
   * The watch ended, by a failure or because its revision is compacted: nothing will come any more.
   * Whoever still cares reads the keys and watches anew. Not called after the watch was cancelled or the cluster closed.
   */
  readonly onEnded: (reason: Error) => void;
}

export interface CallSetting {
  /** The attempt fails with ETCD_TIMEOUT after this long, counted from the call. */
  readonly deadlineMs: number;
}

/** Of one member, for `pool status` and `doctor`. */
export interface MemberStatus {
  readonly endpoint: string;
  /** Null where it did not answer; `error` then says why. */
  readonly status: {
    readonly memberId: string;
    readonly version: string;
    readonly isLeader: boolean;
    readonly databaseBytes: number;
    /** Without the space of what was compacted. */
    readonly databaseUsedBytes: number;
    /** What the database may grow to (--quota-backend-bytes); null where the member does not tell. */
    readonly quotaBytes: number | null;
    readonly latencyMs: number;
  } | null;
  readonly error: string | null;
}

export interface Alarm {
  readonly memberId: string;
  readonly alarm: 'NOSPACE' | 'CORRUPT';
}

/**
 * Every call rejects with a TapdiskError: ETCD_UNAVAILABLE, ETCD_TIMEOUT (both transient; whether a
 * transaction took place is then unknown), ETCD_NO_SPACE, ETCD_REFUSED (permission, credentials),
 * ETCD_TOO_LARGE, ETCD_LEASE_NOT_FOUND, ETCD_COMPACTED, ETCD_CERTIFICATE_REFUSED (transient where
 * another member may be trusted), ETCD_FAILED (an answer that is not etcd's), ETCD_CLOSED.
 */
export interface Etcd {
  range(range: Range, setting: CallSetting): Promise<RangeReply>;
  transaction(transaction: Transaction, setting: CallSetting): Promise<TransactionReply>;
  grantLease(ttlMs: number, setting: CallSetting): Promise<Lease>;
  /** Resolves to the time that the lease now has left. @throws ETCD_LEASE_NOT_FOUND */
  keepAlive(leaseId: string, setting: CallSetting): Promise<number>;
  /** Deletes the keys under it at once. @throws ETCD_LEASE_NOT_FOUND */
  revokeLease(leaseId: string, setting: CallSetting): Promise<void>;
  /** Milliseconds that a lease has left, or null where it is gone. */
  leaseTimeLeft(leaseId: string, setting: CallSetting): Promise<number | null>;
  /** Events from `fromRevision` on, that one included. @returns a function that cancels the watch */
  watch(
    range: { key: string; rangeEnd?: string },
    fromRevision: number,
    watcher: Watcher,
  ): () => void;
  /** Forgets what was overwritten or deleted before `revision`. Done already is done. */
  compact(revision: number, setting: CallSetting): Promise<void>;
  /** Of every configured endpoint, at once. Never rejects. */
  members(setting: CallSetting): Promise<readonly MemberStatus[]>;
  alarms(setting: CallSetting): Promise<readonly Alarm[]>;
  close(): Promise<void>;
}

/** The end of the range of all keys that begin with `prefix`: ASCII, or empty for all keys. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
