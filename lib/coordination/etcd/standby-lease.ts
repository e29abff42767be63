/** Keeps a standby's lease alive, and its word that it is ready below it. */
import type { CallSetting } from '../../etcd/etcd';
import { hasCode, isTransient, type EtcdContext } from './context';
import type { LeaseUsed } from './etcd-attachment';
import {
  KEEP_ALIVE_ATTEMPT_MS_MAX,
  KEEP_ALIVE_ATTEMPT_SHARE,
  KEEP_ALIVE_RETRY_MS,
  KEEP_ALIVE_SHARE,
  REFUSED_RETRY_MS,
} from './limits';
import { WakeableSleep } from './wakeable-sleep';

export class StandbyLease {
  private isStopping = false;
  private isGone = false;
  private running: Promise<void> | null = null;
  private readonly pause: WakeableSleep;

  constructor(
    private readonly context: EtcdContext,
    private used: LeaseUsed,
    /** Puts the standby's keys under a lease. */
    private readonly publish: (leaseId: string, setting: CallSetting) => Promise<void>,
  ) {
    this.pause = new WakeableSleep(context.clock);
  }

  get now(): LeaseUsed {
    return this.used;
  }

  start(): void {
    this.running ??= this.keep();
  }

  /** Ends the keeping, not the lease. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.pause.wake();
    await this.running;
  }

  /** Somebody was told that the lease is gone: it is looked at at once. */
  look(): void {
    this.pause.wake();
  }

  private async keep(): Promise<void> {
    while (!this.isStopping) {
      const delayMs = await this.round();
      if (!this.isStopping) await this.pause.sleep(delayMs);
    }
  }

  private async round(): Promise<number> {
    const { context, used } = this;
    const deadlineMs = Math.min(used.ttlMs * KEEP_ALIVE_ATTEMPT_SHARE, KEEP_ALIVE_ATTEMPT_MS_MAX);
    const sentAtMs = context.clock.nowMs();
    try {
      if (this.isGone) {
        const lease = await context.grantLease({ deadlineMs });
        await this.publish(lease.leaseId, { deadlineMs });
        this.used = lease;
        this.isGone = false;
      } else {
        const leftMs = await context.etcd.keepAlive(used.leaseId, { deadlineMs });
        this.used = { ...used, sentAtMs: sentAtMs - Math.max(0, used.ttlMs - leftMs) };
      }
      return used.ttlMs * KEEP_ALIVE_SHARE;
    } catch (error) {
      if (hasCode(error, 'ETCD_LEASE_NOT_FOUND')) {
        this.isGone = true;
        return 0;
      }
      return isTransient(error) ? KEEP_ALIVE_RETRY_MS : REFUSED_RETRY_MS;
    }
  }
}
