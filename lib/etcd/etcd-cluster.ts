/** `Etcd` on a real cluster: each call is one attempt on one member, with a deadline. */
import type {
  IAlarmResponse,
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  ILeaseTimeToLiveResponse,
  IRangeResponse,
  IStatusResponse,
  ITxnResponse,
  IWatchRequest,
  IWatchResponse,
} from 'etcd3';
import type { Clock } from '../clock';
import { sentenceOf, TapdiskError } from '../errors';
import { Attempt, type Cancellable } from './attempt';
import { callFailure, isTokenStale, timedOut, type Blame } from './call-failure';
import type { Connection, Security, ServiceName, Stream } from './connection';
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
} from './etcd';
import { RANGE_RESTARTS_MAX, WATCH_CREATE_TIMEOUT_MS } from './limits';
import { Login, type User } from './login';
import { Member } from './member';
import { Members } from './members';
import { readPages } from './range-pages';
import { WatchStream } from './watch-stream';
import { safeInteger, Wire } from './wire';

export interface ClusterSetting {
  /** URLs, one a member. */
  readonly endpoints: readonly string[];
  /** Before every key. */
  readonly prefix: string;
  /** Credentials for a member. */
  readonly security: (endpoint: string) => Security;
  readonly user: User | null;
  readonly connectTimeoutMs: number;
  readonly clock: Clock;
  /** Index of the member that is asked first; at random without it, so that load is spread. */
  readonly firstMember?: number;
}

/** Where a call goes, and with what. */
interface Called {
  readonly connection: Connection;
  readonly token: string | null;
}

interface CallKind {
  /** Of one member rather than of whichever serves. */
  readonly member?: Member;
  /** False for what a member can tell without the others. */
  readonly requireLeader?: boolean;
}

export class EtcdCluster implements Etcd {
  private readonly clock: Clock;
  private readonly roster: Members<Member>;
  private readonly login: Login;
  private readonly wire: Wire;
  private readonly attempts = new Set<Cancellable>();
  private readonly watches = new Set<WatchStream>();
  private closed = false;

  constructor({
    endpoints,
    prefix,
    security,
    user,
    connectTimeoutMs,
    clock,
    firstMember,
  }: ClusterSetting) {
    this.clock = clock;
    this.wire = new Wire(prefix);
    const nowMs = (): number => clock.nowMs();
    this.roster = new Members(
      endpoints.map(
        (endpoint) =>
          new Member({ endpoint, security: security(endpoint), connectTimeoutMs, nowMs }),
      ),
      firstMember ?? Math.floor(Math.random() * endpoints.length),
    );
    this.login = new Login(user, clock, ({ endpoint }) => timedOut(endpoint, null));
  }

  /** The deadline is for all pages together. */
  async range(range: Range, { deadlineMs }: CallSetting): Promise<RangeReply> {
    const endMs = this.clock.nowMs() + deadlineMs;
    for (let restarts = 0; ; restarts++) {
      try {
        return await readPages(this.wire, range, (request) =>
          this.unary<IRangeResponse>('KV', 'range', request, {
            deadlineMs: Math.max(endMs - this.clock.nowMs(), 1),
          }),
        );
      } catch (error) {
        const compacted = error instanceof TapdiskError && error.code === 'ETCD_COMPACTED';
        if (!compacted || restarts === RANGE_RESTARTS_MAX) throw error;
      }
    }
  }

  async transaction(transaction: Transaction, setting: CallSetting): Promise<TransactionReply> {
    const request = this.wire.transactionRequest(transaction);
    return this.wire.transactionReply(
      await this.unary<ITxnResponse>('KV', 'txn', request, setting),
    );
  }

  /** Etcd counts in seconds: `ttlMs` is rounded up. */
  async grantLease(ttlMs: number, setting: CallSetting): Promise<Lease> {
    const request = { TTL: Math.ceil(ttlMs / 1_000), ID: 0 };
    const reply = await this.unary<ILeaseGrantResponse>('Lease', 'leaseGrant', request, setting);
    return { leaseId: reply.ID, ttlMs: safeInteger(reply.TTL) * 1_000 };
  }

  async keepAlive(leaseId: string, setting: CallSetting): Promise<number> {
    const { TTL } = await this.attempt(setting, {}, ({ connection, token }, attempt) => {
      const stream = connection.stream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(
        'Lease',
        'leaseKeepAlive',
        { token, requireLeader: true },
      );
      attempt.cancelWith(() => stream.cancel());
      return oneReply(stream, { ID: leaseId });
    });
    const seconds = safeInteger(TTL);
    if (seconds > 0) return seconds * 1_000;
    throw new TapdiskError('ETCD_LEASE_NOT_FOUND', `lease ${leaseId} is gone, says etcd`);
  }

  async revokeLease(leaseId: string, setting: CallSetting): Promise<void> {
    await this.unary('Lease', 'leaseRevoke', { ID: leaseId }, setting);
  }

  async leaseTimeLeft(leaseId: string, setting: CallSetting): Promise<number | null> {
    const reply = await this.unary<ILeaseTimeToLiveResponse>(
      'Lease',
      'leaseTimeToLive',
      { ID: leaseId, keys: false },
      setting,
    );
    const seconds = safeInteger(reply.TTL);
    return seconds < 0 ? null : seconds * 1_000;
  }

  watch(
    range: { key: string; rangeEnd?: string },
    fromRevision: number,
    watcher: Watcher,
  ): () => void {
    if (this.closed) {
      queueMicrotask(() => watcher.onEnded(closedError()));
      return () => undefined;
    }
    let cancelled = false;
    let watch: WatchStream | null = null;
    const end = (error: Error): void => {
      if (watch !== null) this.watches.delete(watch);
      if (!cancelled && !this.closed) watcher.onEnded(error);
    };
    const heard: Watcher = {
      onEvents: (events, revision) => {
        if (!cancelled) watcher.onEvents(events, revision);
      },
      onEnded: end,
    };
    this.openWatch(range, fromRevision, heard).then((opened) => {
      watch = opened;
      if (cancelled || this.closed) opened.cancel();
      else this.watches.add(opened);
    }, end);
    return () => {
      cancelled = true;
      if (watch === null) return;
      this.watches.delete(watch);
      watch.cancel();
    };
  }

  async compact(revision: number, setting: CallSetting): Promise<void> {
    try {
      await this.unary('KV', 'compact', { revision, physical: false }, setting);
    } catch (error) {
      // Another process was first, and with a later revision.
      if (!(error instanceof TapdiskError) || error.code !== 'ETCD_COMPACTED') throw error;
    }
  }

  members(setting: CallSetting): Promise<readonly MemberStatus[]> {
    return Promise.all(this.roster.all.map((member) => this.statusOf(member, setting)));
  }

  async alarms(setting: CallSetting): Promise<readonly Alarm[]> {
    const request = { action: 'Get', memberID: 0, alarm: 'None' };
    const { alarms } = await this.unary<IAlarmResponse>('Maintenance', 'alarm', request, setting, {
      requireLeader: false,
    });
    return alarms.map(({ memberID, alarm }) => ({
      memberId: memberName(memberID),
      alarm: String(alarm) === 'Nospace' ? 'NOSPACE' : 'CORRUPT',
    }));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const attempt of [...this.attempts]) attempt.abort(closedError());
    for (const watch of this.watches) watch.cancel();
    for (const member of this.roster.all) member.close();
  }

  private unary<Reply>(
    service: ServiceName,
    method: string,
    request: object,
    setting: CallSetting,
    kind: CallKind = {},
  ): Promise<Reply> {
    const requireLeader = kind.requireLeader ?? true;
    return this.attempt(setting, kind, ({ connection, token }, attempt) =>
      connection.unary<Reply>(service, method, request, { token, requireLeader }, attempt),
    );
  }

  private async openWatch(
    range: { key: string; rangeEnd?: string },
    fromRevision: number,
    watcher: Watcher,
  ): Promise<WatchStream> {
    const setting = { deadlineMs: WATCH_CREATE_TIMEOUT_MS };
    return this.attempt(setting, {}, ({ connection, token }, attempt) => {
      const stream = connection.stream<IWatchRequest, IWatchResponse>('Watch', 'watch', {
        token,
        requireLeader: true,
      });
      attempt.cancelWith(() => stream.cancel());
      const bounds = this.wire.bounds(range);
      const onFailed = (error: unknown): Error => {
        const member = this.roster.all.find(({ endpoint }) => endpoint === connection.endpoint)!;
        return this.noteFailure(error, member, connection);
      };
      return WatchStream.open(stream, this.wire, bounds, fromRevision, watcher, onFailed);
    });
  }

  /** One attempt on one member. A token that the member does not know is replaced within it. */
  private async attempt<Result>(
    { deadlineMs }: CallSetting,
    { member: wanted }: CallKind,
    work: (called: Called, attempt: Cancellable) => Promise<Result>,
  ): Promise<Result> {
    if (this.closed) throw closedError();
    const member = wanted ?? this.roster.pick(this.clock.nowMs());
    let connection: Connection | null = null;
    const attempt: Attempt<Result> = new Attempt(this.clock, deadlineMs, () => {
      this.noteSilence(member, connection, attempt.startedAtMs);
      return timedOut(member.endpoint, deadlineMs);
    });
    this.attempts.add(attempt);
    try {
      const result = await attempt.run(async () => {
        connection = await member.connect(attempt);
        const token = await this.login.token(connection);
        try {
          return await work({ connection, token }, attempt);
        } catch (error) {
          if (!isTokenStale(error)) throw error;
          this.login.forget(token);
          return await work({ connection, token: await this.login.token(connection) }, attempt);
        }
      });
      member.distrusted = false;
      if (wanted === undefined) this.roster.succeeded(member);
      return result;
    } catch (error) {
      throw this.noteFailure(error, member, connection);
    } finally {
      this.attempts.delete(attempt);
    }
  }

  private noteFailure(error: unknown, member: Member, connection: Connection | null): TapdiskError {
    const failure = callFailure(error, member.endpoint);
    if (failure.blame === 'nothing') return failure.error;
    this.blame(failure.blame, member, connection);
    if (failure.blame !== 'certificate') return failure.error;
    member.distrusted = true;
    const { code, message } = failure.error;
    const transient = this.roster.all.some(({ distrusted }) => !distrusted);
    return new TapdiskError(code, message, { cause: error, transient });
  }

  private blame(blame: Blame, member: Member, connection: Connection | null): void {
    this.roster.failed(member, this.clock.nowMs());
    if (blame !== 'member' && connection !== null) member.retire(connection);
  }

  /** Nothing came in time. Where nothing came for anybody, the connection may be dead. */
  private noteSilence(member: Member, connection: Connection | null, sinceMs: number): void {
    const silent = connection === null || connection.heardAtMs <= sinceMs;
    this.blame(silent ? 'connection' : 'member', member, connection);
  }

  private async statusOf(member: Member, setting: CallSetting): Promise<MemberStatus> {
    const startedAtMs = this.clock.nowMs();
    const { endpoint } = member;
    try {
      const kind = { member, requireLeader: false };
      const reply = await this.unary<IStatusResponse>('Maintenance', 'status', {}, setting, kind);
      // etcd3's type lacks a field that the message has.
      const { dbSizeInUse } = reply as IStatusResponse & { dbSizeInUse: string };
      const status = {
        memberId: memberName(reply.header.member_id),
        version: reply.version,
        isLeader: reply.leader === reply.header.member_id,
        databaseBytes: safeInteger(reply.dbSize),
        databaseUsedBytes: safeInteger(dbSizeInUse),
        latencyMs: this.clock.nowMs() - startedAtMs,
        quotaBytes: await member.quotaBytes(setting.deadlineMs),
      };
      return { endpoint, status, error: null };
    } catch (error) {
      return { endpoint, status: null, error: sentenceOf(error) };
    }
  }
}

/** Of a stream that is asked one thing. */
function oneReply<Request, Reply>(
  stream: Stream<Request, Reply>,
  request: Request,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    stream.on('data', resolve);
    stream.on('error', reject);
    stream.on('end', () => reject(new Error('the stream ended without an answer')));
    stream.write(request);
    stream.end();
  });
}

/** As etcdctl shows it. */
function memberName(decimal: string): string {
  return BigInt(decimal).toString(16);
}

function closedError(): TapdiskError {
  return new TapdiskError('ETCD_CLOSED', 'the connection to etcd was closed during a call');
}
