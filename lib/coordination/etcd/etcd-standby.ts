/**
 * Stands by for a volume: ready, warmed, and told by a watch when the lock is free or handed over.
 *
 * The watch only makes it quick. It looks at the lock by itself as well, so a watch that died
 * without a word costs half a second.
 */
import { TapdiskError } from '../../errors';
import type { CallSetting, Compare, KeyValue } from '../../etcd/etcd';
import type { Attachment, Standby } from '../coordination';
import type { VolumeRecord } from '../volume-record';
import { hasCode, overtaken, type EtcdContext } from './context';
import { EtcdAttachment } from './etcd-attachment';
import { describeSelf, nameOf } from './holders';
import { lockKey, presenceKey, standbyKey } from './keys';
import { ATTEMPT_MS_MAX, RELEASE_BUDGET_MS, STANDBY_POLL_MS, WARM_REFRESH_MS } from './limits';
import { StandbyLease } from './standby-lease';
import { take, type Claim, type Taken } from './take';
import { decodeHolder, encodeHolder, type Holder } from './values';
import { WakeableSleep } from './wakeable-sleep';
import { WarmMap } from './warm-map';

export interface StandbySetting {
  readonly context: EtcdContext;
  readonly record: VolumeRecord;
  /** Called with the attachment that the wait ended with. */
  readonly attached: (attachment: EtcdAttachment) => void;
  readonly attachmentEnded: (attachment: EtcdAttachment) => void;
  /** Called when the waiting is over, however it ended. */
  readonly ended: (standby: EtcdStandby) => void;
}

/** Refusals that may end by themselves; a standby waits for days if need be. */
const WAITS_ON = /^(ETCD_.*|POOL_BUSY|VOLUME_ATTACHED)$/;

export class EtcdStandby implements Standby {
  readonly name: string;
  readonly attached: Promise<Attachment>;
  private isCancelled = false;
  private unwatch: (() => void) | null = null;
  /** Taken, and not to be used yet. */
  private settling: EtcdAttachment | null = null;
  private warmedAtMs: number;
  private readonly sleep: WakeableSleep;

  private constructor(
    private readonly setting: StandbySetting,
    private readonly token: string,
    private readonly lease: StandbyLease,
    private readonly warm: WarmMap,
  ) {
    const { context } = setting;
    this.name = nameOf(context.host);
    this.sleep = new WakeableSleep(context.clock);
    this.warmedAtMs = context.clock.nowMs();
    this.lease.start();
    this.attached = this.wait().finally(() => setting.ended(this));
    // Whoever cancels may never have looked at it.
    this.attached.catch(() => {});
  }

  /** Resolves when it is ready: warmed, and known to the others. */
  static async begin(setting: StandbySetting): Promise<EtcdStandby> {
    const { context, record } = setting;
    const warm = new WarmMap(context, record.uuid);
    await warm.refresh();
    const token = context.newUuid();
    const granted = await context.patiently((attempt) => context.grantLease(attempt));
    const holder = describeSelf(context, {
      token,
      volume: record.name,
      readOnly: false,
      epoch: 0,
      uncleanBefore: false,
      leaseTtlMs: granted.ttlMs,
    });
    const publish = (leaseId: string, setting: CallSetting): Promise<void> =>
      announce(context, record.uuid, holder, leaseId, setting);
    try {
      await context.patiently((attempt) => publish(granted.leaseId, attempt));
    } catch (error) {
      await context.forgetLease(granted.leaseId);
      throw error;
    }
    const lease = new StandbyLease(context, granted, publish);
    return new EtcdStandby(setting, token, lease, warm);
  }

  get record(): VolumeRecord {
    return this.setting.record;
  }

  /** Resolves when no lock will be taken any more; one that was just taken is given back. */
  async cancel(): Promise<void> {
    this.isCancelled = true;
    this.sleep.wake();
    await this.settling?.abandon();
    await this.attached.catch(() => {});
  }

  private async wait(): Promise<Attachment> {
    try {
      while (!this.isCancelled) {
        const attachment = await this.tryOnce();
        if (attachment === null) {
          await this.keepFresh();
          await this.sleep.sleep(STANDBY_POLL_MS);
        } else if (this.isCancelled) {
          await attachment.release();
        } else {
          this.setting.attached(attachment);
          return attachment;
        }
      }
      await this.withdraw();
      throw new TapdiskError(
        'STANDBY_CANCELLED',
        `the wait for volume "${this.record.name}" was ended before it was free`,
      );
    } finally {
      this.unwatch?.();
      await this.lease.stop();
    }
  }

  /** Null where it has to wait on. @throws what no waiting mends */
  private async tryOnce(): Promise<EtcdAttachment | null> {
    const { context } = this.setting;
    try {
      await this.watch();
      const taken = await take(context, this.claim(), { deadlineMs: ATTEMPT_MS_MAX });
      return await this.settle(await this.attach(taken));
    } catch (error) {
      if (this.isCancelled) return null;
      if (hasCode(error, 'ETCD_LEASE_NOT_FOUND')) this.lease.look();
      if (error instanceof TapdiskError && WAITS_ON.test(error.code)) return null;
      throw error;
    }
  }

  private claim(): Claim {
    const { name, uuid } = this.record;
    const { leaseId, ttlMs } = this.lease.now;
    return {
      volume: name,
      uuid,
      token: this.token,
      leaseId,
      leaseTtlMs: ttlMs,
      readOnly: false,
      steal: false,
      standbyKey: standbyKey(uuid, this.token),
    };
  }

  /** The lease is the attachment's from here on. */
  private async attach(taken: Taken): Promise<EtcdAttachment> {
    const { context, attachmentEnded } = this.setting;
    await this.lease.stop();
    return new EtcdAttachment({
      context,
      taken,
      lease: this.lease.now,
      warm: this.warm,
      ended: attachmentEnded,
    });
  }

  private async settle(attachment: EtcdAttachment): Promise<EtcdAttachment> {
    this.settling = attachment;
    try {
      // However long etcd is away: it ends when the volume is lost, or nobody waits any more.
      await attachment.settle(() => {}, Infinity);
      return attachment;
    } catch (error) {
      await attachment.abandon();
      throw error;
    } finally {
      this.settling = null;
    }
  }

  private async keepFresh(): Promise<void> {
    const { clock } = this.setting.context;
    if (this.isCancelled || clock.nowMs() - this.warmedAtMs < WARM_REFRESH_MS) return;
    this.warmedAtMs = clock.nowMs();
    // What is missed now is read at the take-over.
    await this.warm.refresh().catch(() => {});
  }

  /** Watches the lock, unless that is under way. */
  private async watch(): Promise<void> {
    if (this.unwatch !== null) return;
    const { etcd } = this.setting.context;
    const key = lockKey(this.record.uuid);
    const { revision } = await etcd.range({ key }, { deadlineMs: ATTEMPT_MS_MAX });
    this.unwatch = etcd.watch({ key }, revision + 1, {
      onEvents: () => this.sleep.wake(),
      onEnded: () => {
        this.unwatch = null;
      },
    });
  }

  /** Takes its name off the list; a volume that was handed over meanwhile is given back. */
  private async withdraw(): Promise<void> {
    const { context } = this.setting;
    try {
      await context.patiently((setting) => this.withdrawOnce(setting), RELEASE_BUDGET_MS);
    } catch {
      // The lease is kept no more, and takes everything with it when it ends.
    }
    await this.lease.stop();
    await context.forgetLease(this.lease.now.leaseId);
  }

  private async withdrawOnce(setting: CallSetting): Promise<void> {
    const { context } = this.setting;
    const key = lockKey(this.record.uuid);
    const lock = await context.get(key, setting);
    if (lock !== undefined && decodeHolder(lock).token === this.token) {
      const handed = await this.attach(await take(context, this.claim(), setting));
      return handed.release();
    }
    const compare: Compare[] = [{ key, target: 'modRevision', equals: lock?.modRevision ?? 0 }];
    const success = [{ delete: { key: standbyKey(this.record.uuid, this.token) } }];
    const { succeeded } = await context.transact({ compare, success }, setting);
    if (!succeeded) throw overtaken(`volume "${this.record.name}"`);
  }
}

/**
 * Says that one stands by. One attempt; may be made again after one whose outcome is unknown, and
 * one that arrives when the volume has changed hands has no effect: its sender may have it.
 */
async function announce(
  context: EtcdContext,
  uuid: string,
  holder: Holder,
  leaseId: string,
  setting: CallSetting,
): Promise<void> {
  const keys = [standbyKey(uuid, holder.token), lockKey(uuid)];
  const success = keys.map((key) => ({ range: { key } }));
  const { ranges } = await context.etcd.transaction({ compare: [], success }, setting);
  const [own, lock] = ranges.map((reply): KeyValue | undefined => reply.keyValues[0]);
  if (own?.leaseId === leaseId) return;
  const value = encodeHolder(holder);
  const { succeeded } = await context.transact(
    {
      compare: keys.map((key, i): Compare => {
        return { key, target: 'modRevision', equals: [own, lock][i]?.modRevision ?? 0 };
      }),
      success: [keys[0], presenceKey(holder.host, holder.token)].map((key) => {
        return { put: { key, value, leaseId } };
      }),
    },
    setting,
  );
  if (!succeeded) throw overtaken(`volume "${holder.volume}"`);
}
