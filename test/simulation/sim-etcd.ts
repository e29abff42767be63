/**
 * An `Etcd` in memory: linearizable, with a network in front that does what it is told.
 *
 * For a unit test, in one line: `const { etcd, clock, time, cluster } = simEtcd()`. Calls end by
 * themselves; leases end when `await time.advance(ms)` lets them. `etcd.fault` spoils single calls,
 * `cluster.fail('hangs')` all of them. Further clients: `new SimEtcd(cluster, clock)`.
 */
import type { Clock } from '../../lib/clock';
import { TapdiskError } from '../../lib/errors';
import type {
  Alarm,
  CallSetting,
  Etcd,
  Lease,
  MemberStatus,
  Range,
  RangeReply,
  Transaction,
  TransactionReply,
  Watcher,
} from '../../lib/etcd/etcd';
import { EtcdCluster, type LiveWatch, tellWatcher, unavailable } from './etcd-cluster';
import type { Change } from './etcd-keys';
import { realClock, SimClock, virtualClock } from './sim-clock';
import { VirtualTime } from './virtual-time';

/** What becomes of one call. */
export interface Fate {
  /** How long the request travels; null where it is lost. */
  readonly requestMs: number | null;
  readonly replyMs: number | null;
  /** The request arrives a second time, so long after the call; nobody hears of its reply. */
  readonly againMs?: number;
  /** Fails at once, without being sent. */
  readonly isRefused?: boolean;
}

export type CallName =
  'range' | 'transaction' | 'grantLease' | 'keepAlive' | 'revokeLease' | 'other';

/** A call as a fault sees it: what it is, and of a transaction what it asks for. */
export interface Call {
  readonly name: CallName;
  readonly transaction?: Transaction;
}

/** Between one client and the cluster. */
export interface Network {
  fate(call: Call): Fate;
  /** Whether anything sent now gets through. */
  readonly isCut: boolean;
  /** How long a watch's next event travels. Events stay in their order. */
  eventMs(): number;
  /** After so long a watch that was cut tells of its end. */
  watchBreakMs(): number;
}

const AT_ONCE: Fate = { requestMs: 0, replyMs: 0 };
/** Fates for `fault`. */
export const REQUEST_LOST: Fate = { requestMs: null, replyMs: null };
export const REPLY_LOST: Fate = { requestMs: 0, replyMs: null };
export const REFUSED: Fate = { requestMs: null, replyMs: null, isRefused: true };
/** The caller has timed out long before the request arrives. */
export const LATE: Fate = { requestMs: 60_000, replyMs: null };

export class SimEtcd implements Etcd {
  /** Spoils the calls for which it gives a fate. */
  fault: ((call: Call) => Fate | null) | null = null;
  /** Told of each transaction when the cluster has done it, whatever becomes of the reply. */
  onApplied: ((transaction: Transaction, reply: TransactionReply) => void) | null = null;
  isClosed = false;
  private readonly cancels = new Set<() => void>();

  constructor(
    readonly cluster: EtcdCluster,
    private readonly clock: Clock,
    private readonly network: Network | null = null,
  ) {}

  range(range: Range, setting: CallSetting): Promise<RangeReply> {
    return this.call({ name: 'range' }, setting, () => this.cluster.keys.range(range));
  }

  transaction(transaction: Transaction, setting: CallSetting): Promise<TransactionReply> {
    return this.call({ name: 'transaction', transaction }, setting, () => {
      const reply = this.cluster.keys.transaction(transaction);
      this.onApplied?.(transaction, reply);
      return reply;
    });
  }

  grantLease(ttlMs: number, setting: CallSetting): Promise<Lease> {
    return this.call({ name: 'grantLease' }, setting, () => this.cluster.grant(ttlMs));
  }

  keepAlive(leaseId: string, setting: CallSetting): Promise<number> {
    return this.call({ name: 'keepAlive' }, setting, () => this.cluster.keepAlive(leaseId));
  }

  revokeLease(leaseId: string, setting: CallSetting): Promise<void> {
    return this.call({ name: 'revokeLease' }, setting, () => this.cluster.revoke(leaseId));
  }

  leaseTimeLeft(leaseId: string, setting: CallSetting): Promise<number | null> {
    return this.call({ name: 'other' }, setting, () => this.cluster.leaseTimeLeft(leaseId));
  }

  compact(revision: number, setting: CallSetting): Promise<void> {
    return this.call({ name: 'other' }, setting, () => this.cluster.keys.compact(revision));
  }

  watch(
    range: { key: string; rangeEnd?: string },
    fromRevision: number,
    watcher: Watcher,
  ): () => void {
    const { cluster, network } = this;
    let isOver = false;
    let lastAtMs = 0;
    const end = (reason: Error, afterMs: number): void => {
      if (isOver) return;
      cancel();
      this.later(afterMs, () => watcher.onEnded(reason));
    };
    const send = (changes: readonly Change[]): void => {
      if (network?.isCut === true) return end(unavailable(), network.watchBreakMs());
      lastAtMs = Math.max(lastAtMs, cluster.time.nowMs + (network?.eventMs() ?? 0));
      this.later(lastAtMs - cluster.time.nowMs, () => {
        if (!isOver) tellWatcher(watcher, changes);
      });
    };
    const live: LiveWatch = { ...range, send };
    const cancel = (): void => {
      isOver = true;
      cluster.unwatch(live);
      this.cancels.delete(cancel);
    };
    this.cancels.add(cancel);
    this.later(network?.eventMs() ?? 0, () => {
      if (isOver) return;
      if (network?.isCut === true || cluster.outage !== null) {
        return end(unavailable(), network?.watchBreakMs() ?? 0);
      }
      try {
        cluster.watch(live, fromRevision);
      } catch (error) {
        end(error as Error, 0);
      }
    });
    return cancel;
  }

  async members(_setting: CallSetting): Promise<readonly MemberStatus[]> {
    const { keys, outage } = this.cluster;
    if (outage !== null) return [{ endpoint: 'sim:2379', status: null, error: 'it is away' }];
    const status = {
      memberId: '1',
      version: '3.4.0',
      isLeader: true,
      databaseBytes: keys.databaseBytes,
      databaseUsedBytes: keys.usedBytes,
      quotaBytes: keys.quotaBytes,
      latencyMs: 1,
    };
    return [{ endpoint: 'sim:2379', status, error: null }];
  }

  alarms(setting: CallSetting): Promise<readonly Alarm[]> {
    return this.call({ name: 'other' }, setting, () =>
      this.cluster.keys.hasNoSpaceAlarm ? [{ memberId: '1', alarm: 'NOSPACE' as const }] : [],
    );
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const cancel of [...this.cancels]) cancel();
  }

  private call<T>(call: Call, { deadlineMs }: CallSetting, apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) return reject(new TapdiskError('ETCD_CLOSED', 'etcd was closed'));
      let isOver = false;
      const timer = this.clock.setTimer(deadlineMs, () => {
        isOver = true;
        reject(timedOut(call, deadlineMs));
      });
      const settle = (answer: () => void): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        answer();
      };
      const fate = this.fault?.(call) ?? this.network?.fate(call) ?? AT_ONCE;
      if (fate.isRefused === true) return settle(() => reject(unavailable()));
      const reply = (answer: () => void): void => {
        if (fate.replyMs === null || this.network?.isCut === true) return;
        this.later(fate.replyMs, () => {
          if (this.network?.isCut !== true) settle(answer);
        });
      };
      const arrive = (): void => {
        let answer: () => void;
        try {
          const value = apply();
          answer = () => resolve(value);
        } catch (error) {
          const reason = error instanceof Error ? error : new Error(String(error));
          answer = () => reject(reason);
        }
        reply(answer);
      };
      this.send(fate.requestMs, arrive, () => reply(() => reject(unavailable())));
      if (fate.againMs !== undefined) this.send(fate.againMs, () => ignoreFailure(apply));
    });
  }

  private send(afterMs: number | null, arrive: () => void, refuse: () => void = () => {}): void {
    if (afterMs === null || this.network?.isCut === true) return;
    this.atCluster(afterMs, () => {
      if (this.network?.isCut !== true) this.cluster.receive(arrive, refuse);
    });
  }

  private atCluster(afterMs: number, action: () => void): void {
    if (afterMs === 0) action();
    else this.cluster.time.schedule(afterMs, action);
  }

  /** In the client's process, which may be stopped or dead by then. */
  private later(afterMs: number, action: () => void): void {
    const { clock } = this;
    const deliver = (): void =>
      clock instanceof SimClock ? clock.process.deliver(action) : action();
    if (afterMs === 0) void Promise.resolve().then(deliver);
    else this.cluster.time.schedule(afterMs, deliver);
  }
}

function ignoreFailure(apply: () => unknown): void {
  try {
    apply();
  } catch (error) {
    if (!(error instanceof TapdiskError)) throw error;
  }
}

function timedOut(call: Call, deadlineMs: number): TapdiskError {
  return new TapdiskError(
    'ETCD_TIMEOUT',
    `etcd did not answer ${call.name} within ${deadlineMs} ms`,
    { transient: true },
  );
}

export interface PlainSimEtcd {
  readonly etcd: SimEtcd;
  readonly cluster: EtcdCluster;
  readonly clock: Clock;
  readonly time: VirtualTime;
}

/** A cluster without faults and delays, one client of it, and the clock of virtual time. */
export function simEtcd(): PlainSimEtcd {
  const time = new VirtualTime();
  const clock = virtualClock(time);
  const cluster = new EtcdCluster(time);
  return { etcd: new SimEtcd(cluster, clock), cluster, clock, time };
}

/** The same in real time, for tests that wait. */
export function simEtcdInRealTime(): Omit<PlainSimEtcd, 'time'> {
  const clock = realClock;
  const cluster = new EtcdCluster({
    get nowMs() {
      return clock.nowMs();
    },
    schedule: (delayMs, action) => clock.setTimer(delayMs, action),
  });
  return { etcd: new SimEtcd(cluster, clock), cluster, clock };
}
