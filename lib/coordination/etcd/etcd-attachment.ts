/** The right to one volume of a cluster, from attach to release. */
import { FENCE_LOST } from '../../fence';
import { TapdiskError } from '../../errors';
import type { CallSetting, Compare } from '../../etcd/etcd';
import { chooseStandby } from '../choose-standby';
import type { Attachment, MapStorage } from '../coordination';
import type { StoredRecord } from '../stored-record';
import { checkGeometry } from '../volume-geometry';
import type { VolumeRecord } from '../volume-record';
import { resizeRecord } from './change-record';
import { overtaken, type EtcdContext } from './context';
import type { EtcdFence } from './etcd-fence';
import { EtcdMapStorage } from './etcd-map-storage';
import { giveBack } from './give-back';
import { listStandbys, notOurs, passOn } from './hand-over';
import { stateKey } from './keys';
import { CALL_BUDGET_MS, RELEASE_BUDGET_MS, WAIT_REPORT_MS } from './limits';
import { Right } from './right';
import { startLayer } from './start-layer';
import type { Taken } from './take';
import { decodeState, encodeState } from './values';
import { WakeableSleep } from './wakeable-sleep';
import type { WarmMap } from './warm-map';

export interface LeaseUsed {
  readonly leaseId: string;
  readonly ttlMs: number;
  /** When what was confirmed of it was asked for. */
  readonly sentAtMs: number;
}

export interface AttachmentSetting {
  readonly context: EtcdContext;
  readonly taken: Taken;
  readonly lease: LeaseUsed;
  readonly warm: WarmMap | null;
  /** Called when the attachment has ended. */
  readonly ended: (attachment: EtcdAttachment) => void;
}

export class EtcdAttachment implements Attachment {
  readonly readOnly: boolean;
  readonly uncleanBefore: boolean;
  readonly map: MapStorage;
  readonly fence: EtcdFence;
  private readonly context: EtcdContext;
  private readonly right: Right;
  private readonly mapStorage: EtcdMapStorage;
  private stored: StoredRecord;
  private readonly epoch: number;
  private ending: Promise<void> | null = null;
  private changing: Promise<unknown> = Promise.resolve();

  /** Keeps the right from now on, until `release`. */
  constructor(private readonly setting: AttachmentSetting) {
    const { context, taken, lease, warm } = setting;
    const { record, holder, modRevision, state, stateRevision } = taken;
    this.context = context;
    this.stored = record;
    this.epoch = holder.readOnly ? state.epoch : holder.epoch;
    this.readOnly = holder.readOnly;
    this.uncleanBefore = holder.uncleanBefore;
    const { leaseId, ttlMs: leaseTtlMs, sentAtMs } = lease;
    const { uuid } = record;
    this.right = new Right(context, {
      uuid,
      holder,
      modRevision,
      stateRevision,
      leaseId,
      leaseTtlMs,
      sentAtMs,
    });
    this.fence = this.right.fence;
    const { readOnly } = this;
    this.mapStorage = new EtcdMapStorage({
      context,
      right: this.right,
      readOnly,
      record: () => this.stored,
      warm,
    });
    this.map = this.mapStorage;
    this.right.start();
  }

  get record(): VolumeRecord {
    return { ...this.stored, epoch: this.epoch };
  }

  /**
   * What a transaction compares to have no effect once the volume is lost. It is another one after
   * the lock was put anew, so it is asked for before each transaction.
   */
  guard(): readonly Compare[] {
    return this.right.guard();
  }

  /**
   * To be told that a comparison with `guard` failed. That is no proof of a loss: the lock may have
   * ended and been put anew. The fence closes until it is known, and then opens or is lost.
   */
  doubt(guard: readonly Compare[]): void {
    this.right.doubt(guard);
  }

  /**
   * Waits until nobody before can write any more, before the first use. The budget is for telling
   * etcd that this is so.
   *
   * @throws TapdiskError VOLUME_LOST; those of etcd
   */
  async settle(onWaiting: (leftMs: number) => void, budgetMs = CALL_BUDGET_MS): Promise<void> {
    const { clock } = this.context;
    const { waitMs } = this.setting.taken;
    const pause = new WakeableSleep(clock);
    const endMs = clock.nowMs() + waitMs;
    for (let leftMs = waitMs; leftMs > 0; leftMs = endMs - clock.nowMs()) {
      this.checkNotLost();
      onWaiting(leftMs);
      await pause.sleep(Math.min(leftMs, WAIT_REPORT_MS));
    }
    if (this.readOnly || this.setting.taken.state.unsettledMs === 0) return;
    await this.context.patiently((attempt) => this.tellSettled(attempt), budgetMs);
  }

  startLayer(): Promise<VolumeRecord> {
    return this.change((setting) => startLayer(this.context, this.right, this.stored, setting));
  }

  async resize(sizeBytes: number): Promise<VolumeRecord> {
    checkGeometry(sizeBytes, this.stored.chunkBytes);
    return this.change((setting) =>
      resizeRecord(this.context, this.right, this.stored.name, sizeBytes, setting),
    );
  }

  release(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  async handOver(to?: string): Promise<void> {
    if (this.readOnly || this.ending !== null) throw this.notWritable();
    const { context, stored } = this;
    const { holder } = this.setting.taken;
    const heir = chooseStandby(await listStandbys(context, stored.uuid), to, stored.name);
    this.checkNotLost();
    if (!(await this.mapStorage.whenIdle(RELEASE_BUDGET_MS))) throw notOurs(holder, heir);
    await this.right.beginGivingAway();
    try {
      this.checkNotLost();
      await context.patiently(
        (setting) => passOn(context, stored.uuid, holder, heir, setting),
        RELEASE_BUDGET_MS,
      );
    } catch (error) {
      this.right.keepAfterAll();
      throw error;
    }
    this.ending = this.handedOver();
    await this.ending;
  }

  /** One change after the other, so that the record kept here is the last one's. */
  private change(attempt: (setting: CallSetting) => Promise<StoredRecord>): Promise<VolumeRecord> {
    if (this.readOnly || this.ending !== null) return Promise.reject(this.notWritable());
    const changed = this.changing.then(async () => {
      this.stored = await this.context.patiently((setting) => {
        this.checkNotLost();
        return attempt(setting);
      });
      return this.record;
    });
    this.changing = changed.catch(() => {});
    return changed;
  }

  /** Ends without a word: as if the process had died, but that the lease ends at once. */
  async abandon(): Promise<void> {
    this.mapStorage.abandon();
    await this.right.stop();
    await this.finish();
  }

  /** The lease is given back in any case. */
  private async end(): Promise<void> {
    const { context, stored, right } = this;
    const { holder } = this.setting.taken;
    this.mapStorage.close();
    const isCommitted = await this.mapStorage.whenIdle(RELEASE_BUDGET_MS);
    this.mapStorage.abandon();
    await right.stop();
    try {
      if (this.fence.state() === FENCE_LOST) return;
      // From here on it may be another's.
      this.fence.end();
      if (!isCommitted) throw notReleased(stored.name);
      if (this.readOnly) return await context.endLease(right.leaseId, RELEASE_BUDGET_MS);
      await context.patiently(
        (setting) => giveBack(context, stored.uuid, holder, setting),
        RELEASE_BUDGET_MS,
      );
    } finally {
      await this.finish();
    }
  }

  private async handedOver(): Promise<void> {
    this.fence.end();
    await this.right.stop();
    await this.finish();
  }

  private async finish(): Promise<void> {
    this.fence.end();
    this.mapStorage.abandon();
    await this.context.forgetLease(this.right.leaseId);
    this.setting.ended(this);
  }

  /** One attempt; may be made again after one whose outcome is unknown. */
  private async tellSettled(setting: CallSetting): Promise<void> {
    const { context, right } = this;
    this.checkNotLost();
    const key = stateKey(this.stored.uuid);
    const found = await context.get(key, setting);
    const guard = right.guard();
    if (found === undefined) {
      right.doubt(guard);
      throw overtaken(`volume "${this.stored.name}"`);
    }
    const before = decodeState(found);
    const isOurs = before.owner?.token === this.setting.taken.holder.token;
    if (isOurs && before.unsettledMs === 0) return right.stateChanged(found.modRevision);
    const value = encodeState({ ...before, unsettledMs: 0 });
    const reply = await context.transact(
      {
        compare: [...guard, { key, target: 'modRevision', equals: found.modRevision }],
        success: [{ put: { key, value } }],
        failure: [{ range: { key: right.key } }],
      },
      setting,
    );
    if (reply.succeeded) return right.stateChanged(reply.revision);
    const [lock] = reply.ranges[0].keyValues;
    if (!guard.some(({ equals }) => equals === lock?.modRevision)) right.doubt(guard);
    throw overtaken(`volume "${this.stored.name}"`);
  }

  private checkNotLost(): void {
    if (this.fence.state() === FENCE_LOST) throw this.right.lostError();
  }

  private notWritable(): TapdiskError {
    const why = this.readOnly ? 'attached read-only' : 'not attached any more';
    return new TapdiskError(
      'VOLUME_READ_ONLY',
      `volume "${this.stored.name}" is ${why}, so it cannot be changed; attach it for writing`,
    );
  }
}

function notReleased(volume: string): TapdiskError {
  return new TapdiskError(
    'MAP_NOT_COMMITTED',
    `the last changes of the chunk map of volume "${volume}" are not in etcd; ` +
      'what was written since the last flush may be lost, look at the cluster',
  );
}
