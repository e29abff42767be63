/**
 * The right to a volume, kept alive: a key under a lease, and the fence that follows from it.
 *
 * A loop of our own, a round every quarter of the lease: it renews the lease and reads the key, and
 * only both together confirm the right, from the instant at which they were asked for. Where the
 * lease or the key is gone and nobody attached meanwhile, the key is put anew.
 */
import { sentenceOf, TapdiskError } from '../../errors';
import {
  prefixEnd,
  type CallSetting,
  type Compare,
  type KeyValue,
  type Operation,
} from '../../etcd/etcd';
import { hasCode, isTransient, type EtcdContext } from './context';
import { EtcdFence } from './etcd-fence';
import { lockKey, presenceKey, readerKey, readersPrefix, stateKey } from './keys';
import {
  KEEP_ALIVE_ATTEMPT_MS_MAX,
  KEEP_ALIVE_ATTEMPT_SHARE,
  KEEP_ALIVE_RETRY_MS,
  KEEP_ALIVE_SHARE,
  REFUSED_RETRY_MS,
} from './limits';
import { decodeHolder, decodeState, encodeHolder, type Holder } from './values';
import { WakeableSleep } from './wakeable-sleep';

export interface HeldRight {
  readonly uuid: string;
  readonly holder: Holder;
  readonly modRevision: number;
  readonly stateRevision: number;
  readonly leaseId: string;
  readonly leaseTtlMs: number;
  /** When the lease was last asked for, of what was confirmed. */
  readonly sentAtMs: number;
}

export class Right {
  readonly fence: EtcdFence;
  readonly key: string;
  private guardNow: readonly Compare[];
  private modRevision: number;
  private stateRevision: number;
  private leaseIdNow: string;
  private leaseTtlMs: number;
  private isLeaseGone = false;
  /** An own key found with another revision or lease than ours: it may be overwritten. */
  private ownRevisionFound = 0;
  /** A transaction that gives the right away may still arrive: the key must be put anew before. */
  private mustRenew = false;
  private isGivingAway = false;
  private isStopping = false;
  private running: Promise<void> | null = null;
  private readonly pause: WakeableSleep;
  private lostWhy = '';

  constructor(
    private readonly context: EtcdContext,
    private readonly held: HeldRight,
  ) {
    const { uuid, holder } = held;
    this.key = holder.readOnly ? readerKey(uuid, holder.token) : lockKey(uuid);
    this.modRevision = held.modRevision;
    this.guardNow = [this.isOurs()];
    this.stateRevision = held.stateRevision;
    this.leaseIdNow = held.leaseId;
    this.leaseTtlMs = held.leaseTtlMs;
    this.pause = new WakeableSleep(context.clock);
    this.fence = new EtcdFence(context.clock);
    this.fence.confirm(held.sentAtMs, held.leaseTtlMs, this.fence.term);
  }

  /** Begins to keep it, or goes on after `stop`. */
  start(): void {
    this.isStopping = false;
    this.running ??= this.keep();
  }

  /** Ends the keeping, not the right. Resolves when no call of it is under way. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.pause.wake();
    await this.running;
  }

  /** The comparisons by which a transaction has no effect unless the right is held. */
  guard(): readonly Compare[] {
    return this.guardNow;
  }

  /**
   * A transaction failed for its comparison with `guard`: the fence closes until it is known why.
   * Nothing happens where the guard has changed since, as it does when a key is put anew.
   */
  doubt(guard: readonly Compare[]): void {
    if (guard !== this.guardNow) return;
    this.fence.close();
    this.pause.wake();
  }

  /** Of the lease that it is held by now. */
  get leaseId(): string {
    return this.leaseIdNow;
  }

  /** The owner itself has changed the state. */
  stateChanged(revision: number): void {
    this.stateRevision = revision;
  }

  /**
   * Before a transaction that gives the right away: the lease is kept, and nothing else. Resolves
   * when no call that puts the key is under way.
   */
  async beginGivingAway(): Promise<void> {
    await this.stop();
    this.fence.close();
    this.isGivingAway = true;
    this.mustRenew = true;
    this.start();
  }

  /**
   * It was not given away, as far as is known. It is not confirmed before the key was put anew,
   * which leaves a transaction that may still arrive without effect.
   */
  keepAfterAll(): void {
    this.isGivingAway = false;
    this.pause.wake();
  }

  /** Why it is lost, as a refusal. */
  lostError(): TapdiskError {
    const { volume } = this.held.holder;
    return new TapdiskError(
      'VOLUME_LOST',
      `volume "${volume}" was lost (${this.lostWhy}); what was not acknowledged may be missing, ` +
        'attach it anew where it is to run',
    );
  }

  private async keep(): Promise<void> {
    while (!this.isStopping) {
      const delayMs = await this.round();
      if (this.lostWhy !== '') break;
      if (!this.isStopping) await this.pause.sleep(delayMs);
    }
    this.running = null;
  }

  /** @returns the pause before the next round */
  private async round(): Promise<number> {
    const sentAtMs = this.context.clock.nowMs();
    try {
      if (this.isGivingAway) {
        await this.context.etcd.keepAlive(this.leaseIdNow, this.attempt);
        return this.leaseTtlMs * KEEP_ALIVE_SHARE;
      }
      if (this.isLeaseGone) return await this.putAnew();
      const { term } = this.fence;
      const [leftMs, seen] = await this.renewAndLook();
      if (seen?.modRevision !== this.modRevision) return await this.keyDiffers(seen);
      // A proxy's answer may be of a lease that has less left than it was granted.
      const lessMs = Math.max(0, this.leaseTtlMs - leftMs);
      this.fence.confirm(sentAtMs - lessMs, this.leaseTtlMs, term);
      return Math.max(
        0,
        sentAtMs + this.leaseTtlMs * KEEP_ALIVE_SHARE - this.context.clock.nowMs(),
      );
    } catch (error) {
      if (hasCode(error, 'ETCD_LEASE_NOT_FOUND')) {
        this.fence.close();
        this.isLeaseGone = true;
        return this.isGivingAway ? REFUSED_RETRY_MS : 0;
      }
      return isTransient(error) ? KEEP_ALIVE_RETRY_MS : REFUSED_RETRY_MS;
    }
  }

  private get attempt(): CallSetting {
    const ms = this.leaseTtlMs * KEEP_ALIVE_ATTEMPT_SHARE;
    return { deadlineMs: Math.min(ms, KEEP_ALIVE_ATTEMPT_MS_MAX) };
  }

  /** Both at once, since both count from when they were sent. */
  private async renewAndLook(): Promise<[leftMs: number, seen: KeyValue | undefined]> {
    const { context, attempt } = this;
    const look = this.mustRenew ? this.renewKey() : context.get(this.key, attempt);
    const kept = context.etcd.keepAlive(this.leaseId, attempt);
    const [first, second] = await Promise.allSettled([kept, look]);
    // That the lease is gone says more than that a call failed.
    if (first.status === 'rejected') throw first.reason;
    if (second.status === 'rejected') throw second.reason;
    return [first.value, second.value];
  }

  /** Puts the key as it is, for its revision alone. @returns the key as it is then */
  private async renewKey(): Promise<KeyValue | undefined> {
    const value = encodeHolder(this.held.holder);
    const reply = await this.context.transact(
      {
        compare: [this.isOurs()],
        success: [
          { put: { key: this.key, value, leaseId: this.leaseId } },
          { range: { key: this.key } },
        ],
        failure: [{ range: { key: this.key } }],
      },
      this.attempt,
    );
    const seen = reply.ranges[0].keyValues[0];
    if (reply.succeeded) this.nowHeld(reply.revision);
    return seen;
  }

  /** The key is gone, or not as we know it. */
  private async keyDiffers(seen: KeyValue | undefined): Promise<number> {
    this.fence.close();
    if (seen === undefined) return this.putAnew();
    const stranger = this.strangerIn(seen);
    if (stranger !== null) return this.lose(`${stranger} has it`);
    // Put by an attempt of ours that was believed to have failed.
    if (seen.leaseId === this.leaseId) this.nowHeld(seen.modRevision);
    else this.ownRevisionFound = seen.modRevision;
    return 0;
  }

  /** Puts the key under a lease that lives, if nobody had the volume meanwhile. */
  private async putAnew(): Promise<number> {
    const { context, held } = this;
    let sentAtMs = context.clock.nowMs();
    if (this.isLeaseGone) {
      const lease = await context.grantLease(this.attempt);
      ({ leaseId: this.leaseIdNow, ttlMs: this.leaseTtlMs, sentAtMs } = lease);
      this.isLeaseGone = false;
    } else {
      await context.etcd.keepAlive(this.leaseId, this.attempt);
    }
    const { term } = this.fence;
    const value = encodeHolder(held.holder);
    const presence = presenceKey(held.holder.host, held.holder.token);
    const reply = await context.transact(
      {
        compare: this.nobodyCame(),
        success: [this.key, presence].map((key): Operation => ({
          put: { key, value, leaseId: this.leaseId },
        })),
        failure: [
          { range: { key: this.key } },
          { range: { key: stateKey(held.uuid) } },
          { range: { key: lockKey(held.uuid) } },
        ],
      },
      this.attempt,
    );
    if (!reply.succeeded) return this.judgeRefusal(reply.ranges.map((r) => r.keyValues[0]));
    this.nowHeld(reply.revision);
    this.fence.confirm(sentAtMs, this.leaseTtlMs, term);
    return this.leaseTtlMs * KEEP_ALIVE_SHARE;
  }

  private nobodyCame(): Compare[] {
    const { uuid, holder } = this.held;
    const readers = readersPrefix(uuid);
    const others: Compare = holder.readOnly
      ? { key: lockKey(uuid), target: 'modRevision', equals: 0 }
      : { key: readers, rangeEnd: prefixEnd(readers), target: 'createRevision', equals: 0 };
    return [
      { key: this.key, target: 'modRevision', equals: this.ownRevisionFound },
      { key: stateKey(uuid), target: 'modRevision', equals: this.stateRevision },
      others,
    ];
  }

  /** @param seen our key, the volume's state, its lock */
  private judgeRefusal(seen: readonly (KeyValue | undefined)[]): number {
    const [key, state, lock] = seen;
    for (const found of [key, lock]) {
      const stranger = found === undefined ? null : this.strangerIn(found);
      if (stranger !== null) return this.lose(`${stranger} has it`);
    }
    if (state === undefined) return this.lose('it was deleted');
    if (state.modRevision !== this.stateRevision) {
      const stranger = this.strangerOf(() => decodeState(state).owner);
      if (stranger !== null) return this.lose(`${stranger} had it meanwhile`);
      this.stateRevision = state.modRevision;
      return 0;
    }
    if (key === undefined) {
      this.ownRevisionFound = 0;
      // Readers came while nobody had the volume: they changed nothing, and are waited for.
      return REFUSED_RETRY_MS;
    }
    if (key.leaseId === this.leaseId) this.nowHeld(key.modRevision);
    else this.ownRevisionFound = key.modRevision;
    return 0;
  }

  /** Who holds a key, or null where we do. */
  private strangerIn(keyValue: KeyValue): string | null {
    return this.strangerOf(() => decodeHolder(keyValue));
  }

  /** A value that cannot be read is not ours: a newer version's, or damaged by somebody. */
  private strangerOf(
    decode: () => { token: string; pid: number; host: string } | null,
  ): string | null {
    try {
      const found = decode();
      if (found?.token === this.held.holder.token) return null;
      return found === null ? 'nobody' : `process ${found.pid} on host ${found.host}`;
    } catch (error) {
      return `somebody else (${sentenceOf(error)})`;
    }
  }

  private isOurs(): Compare {
    return { key: this.key, target: 'modRevision', equals: this.modRevision };
  }

  private nowHeld(modRevision: number): void {
    this.modRevision = modRevision;
    this.ownRevisionFound = 0;
    this.mustRenew = false;
    this.guardNow = [this.isOurs()];
  }

  private lose(why: string): number {
    this.lostWhy = why;
    this.fence.lose();
    void this.context.forgetLease(this.leaseId);
    return 0;
  }
}
