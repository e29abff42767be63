/** An etcd cluster in memory: keys, leases that end by its clock, watches, outages, leader changes. */
import { TapdiskError } from '../../lib/errors';
import type { Lease, Watcher } from '../../lib/etcd/etcd';
import type { Random } from '../volume/doubles/random';
import { type Change, END_OF_ALL, EtcdKeys, leaseNotFound } from './etcd-keys';

/** Where the cluster's time comes from: VirtualTime, or a real clock. */
export interface ClusterTime {
  readonly nowMs: number;
  schedule(delayMs: number, action: () => void): { cancel(): void };
}

/** etcd grants no shorter lease: three halves of its election time-out, in whole seconds. */
const LEASE_MIN_MS = 2000;
/**
 * After a leader change the old leader may still confirm keep-alives, which the new one knows
 * nothing of, until it finds out: an election time-out.
 */
const OLD_LEADER_MS = 1000;

interface HeldLease extends Lease {
  endsAtMs: number;
  timer: { cancel(): void };
}

/** How a cluster without a quorum answers: at once that it is away, or not at all. */
export type Outage = 'refuses' | 'hangs';

export interface LiveWatch {
  readonly key: string;
  readonly rangeEnd?: string;
  readonly send: (changes: readonly Change[]) => void;
}

export class EtcdCluster {
  readonly keys: EtcdKeys;
  private readonly leases = new Map<string, HeldLease>();
  private readonly watches = new Set<LiveWatch>();
  private waiting: (() => void)[] = [];
  private outageNow: Outage | null = null;
  private oldLeaderUntilMs = -Infinity;
  private nextLease = 0x1234_0000_0000_0001n;

  constructor(
    readonly time: ClusterTime,
    /** Adds what chance does: leases that end late, an old leader's confirmations. */
    private readonly random: Random | null = null,
  ) {
    const hasLease = (id: string): boolean => this.leases.has(id);
    this.keys = new EtcdKeys(hasLease, (change) => this.publish(change));
  }

  get outage(): Outage | null {
    return this.outageNow;
  }

  /** Nothing is decided until `recover`, and no lease ends. */
  fail(outage: Outage): void {
    this.outageNow = outage;
  }

  /** A new leader begins: as etcd's lessor does, with the whole of its time for each lease. */
  recover(): void {
    this.outageNow = null;
    for (const lease of this.leases.values()) this.extend(lease);
    this.oldLeaderUntilMs = this.time.nowMs + OLD_LEADER_MS;
    const waiting = this.waiting;
    this.waiting = [];
    // Some of what was sent meanwhile reaches the new leader.
    for (const arrive of waiting) if (this.random?.chance(0.5)) arrive();
  }

  /** Takes a request, or keeps it for the time after the outage. */
  receive(arrive: () => void, refuse: () => void): void {
    if (this.outageNow === null) arrive();
    else if (this.outageNow === 'refuses') refuse();
    else this.waiting.push(arrive);
  }

  grant(ttlMs: number): Lease {
    const wholeMs = Math.max(LEASE_MIN_MS, Math.ceil(ttlMs / 1000) * 1000);
    const leaseId = String(this.nextLease++);
    const lease = { leaseId, ttlMs: wholeMs, endsAtMs: 0, timer: { cancel: () => {} } };
    this.leases.set(leaseId, lease);
    this.extend(lease);
    return { leaseId, ttlMs: wholeMs };
  }

  keepAlive(leaseId: string): number {
    const lease = this.lease(leaseId);
    const isOldLeader = this.time.nowMs < this.oldLeaderUntilMs && this.random?.chance(0.5);
    if (!isOldLeader) this.extend(lease);
    return lease.ttlMs;
  }

  revoke(leaseId: string): void {
    this.end(this.lease(leaseId));
  }

  leaseTimeLeft(leaseId: string): number | null {
    const lease = this.leases.get(leaseId);
    return lease === undefined ? null : Math.max(0, lease.endsAtMs - this.time.nowMs);
  }

  /** @throws TapdiskError ETCD_COMPACTED */
  watch(watch: LiveWatch, fromRevision: number): void {
    const past = this.keys.changesFrom(fromRevision);
    const seen = past.map((change) => eventsIn(change, watch)).filter(isSome);
    if (seen.length > 0) watch.send(seen);
    this.watches.add(watch);
  }

  unwatch(watch: LiveWatch): void {
    this.watches.delete(watch);
  }

  private publish(change: Change): void {
    for (const watch of this.watches) {
      const seen = eventsIn(change, watch);
      if (isSome(seen)) watch.send([seen]);
    }
  }

  private lease(leaseId: string): HeldLease {
    const lease = this.leases.get(leaseId);
    if (lease === undefined) throw leaseNotFound(leaseId);
    return lease;
  }

  private extend(lease: HeldLease): void {
    lease.timer.cancel();
    lease.endsAtMs = this.time.nowMs + lease.ttlMs;
    // The leader looks for leases that ended every 500 ms.
    const lateMs = this.random === null ? 0 : this.random.below(500);
    lease.timer = this.time.schedule(lease.ttlMs + lateMs, () => {
      // Without a leader no lease ends; the next one begins its time anew.
      if (this.outageNow === null) this.end(lease);
    });
  }

  private end(lease: HeldLease): void {
    lease.timer.cancel();
    this.leases.delete(lease.leaseId);
    this.keys.deleteKeys(this.keys.keysOfLease(lease.leaseId));
  }
}

function eventsIn({ revision, events }: Change, { key, rangeEnd }: LiveWatch): Change {
  const isIn = (k: string): boolean =>
    rangeEnd === undefined ? k === key : k >= key && (rangeEnd === END_OF_ALL || k < rangeEnd);
  return { revision, events: events.filter(({ keyValue }) => isIn(keyValue.key)) };
}

function isSome({ events }: Change): boolean {
  return events.length > 0;
}

/** Gives a watcher changes as one call, as etcd's own client does. */
export function tellWatcher(watcher: Watcher, changes: readonly Change[]): void {
  const { revision } = changes[changes.length - 1];
  watcher.onEvents(
    changes.flatMap(({ events }) => events),
    revision,
  );
}

export function unavailable(): TapdiskError {
  return new TapdiskError('ETCD_UNAVAILABLE', 'etcd has no leader', { transient: true });
}
