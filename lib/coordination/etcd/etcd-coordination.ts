/**
 * Coordination by an etcd cluster: any host may have a volume, exactly one does.
 *
 * Every change is one transaction that compares what it was decided from (docs/etcd-protocol.md).
 */
import { TapdiskError } from '../../errors';
import type { AttachOptions, Coordination, CreateVolume, PendingDeletion } from '../coordination';
import { checkName } from '../name';
import { checkMapEntries, layersOf } from '../map-entries';
import { layersOnlyOf } from '../stored-record';
import { checkGeometry } from '../volume-geometry';
import type { AttachOwner, VolumeRecord } from '../volume-record';
import { viewCluster, type ClusterView } from './attachments-seen';
import { EtcdContext, hasCode, overtaken, type EtcdCoordinationOptions } from './context';
import { listPendingDeletions, moveAside, neededLayers } from './deletion';
import { EtcdAttachment, type LeaseUsed } from './etcd-attachment';
import { EtcdStandby } from './etcd-standby';
import { listStandbys } from './hand-over';
import { ownerOf } from './holders';
import { deletionKey } from './keys';
import { makeVolume } from './make-volume';
import { decodeMapPage, entriesFor, mapRange } from './map-pages';
import { listNames, listRecords, lookAt } from './records';
import { take } from './take';

/** @throws TapdiskError LEASE_TTL_INVALID */
export function openEtcdCoordination(options: EtcdCoordinationOptions): EtcdCoordination {
  return new EtcdCoordination(new EtcdContext(options));
}

export class EtcdCoordination implements Coordination {
  readonly kind = 'etcd';
  private readonly attachments = new Set<EtcdAttachment>();
  private readonly waiting = new Set<EtcdStandby>();

  constructor(private readonly context: EtcdContext) {}

  async create(volume: CreateVolume): Promise<VolumeRecord> {
    checkName('volume', volume.name);
    checkGeometry(volume.sizeBytes, volume.chunkBytes);
    const uuid = this.context.newUuid();
    return this.context.patiently((setting) => makeVolume(this.context, volume, uuid, setting));
  }

  list(): Promise<VolumeRecord[]> {
    return listRecords(this.context);
  }

  names(): Promise<string[]> {
    return listNames(this.context);
  }

  async read(name: string): Promise<VolumeRecord> {
    const { record, state } = await this.look(name);
    return { ...record, epoch: state.epoch };
  }

  async owner(name: string): Promise<AttachOwner | null> {
    const { lock, readers } = await this.look(name);
    const { host } = this.context;
    const living = [...(lock === null ? [] : [lock]), ...readers].find(
      ({ holder }) => !host.isDead(holder),
    );
    return living === undefined ? null : ownerOf(living.holder);
  }

  async attach(name: string, options: AttachOptions): Promise<EtcdAttachment> {
    const { readOnly, steal = false, onWaiting = () => {} } = options;
    if (steal && readOnly) throw stealForReading(name);
    const attachment = await this.take(name, readOnly, steal);
    try {
      await attachment.settle(onWaiting);
    } catch (error) {
      await attachment.abandon();
      throw error;
    }
    return attachment;
  }

  async standBy(name: string): Promise<EtcdStandby> {
    const standby = await EtcdStandby.begin({
      context: this.context,
      record: await this.read(name),
      attached: (attachment) => this.attachments.add(attachment),
      attachmentEnded: (attachment) => this.attachments.delete(attachment),
      ended: (ended) => this.waiting.delete(ended),
    });
    this.waiting.add(standby);
    return standby;
  }

  async standbys(name: string): Promise<readonly string[]> {
    const { uuid } = await this.read(name);
    return (await listStandbys(this.context, uuid)).map((standby) => standby.name);
  }

  async countChunks(name: string): Promise<number> {
    const record = await this.read(name);
    const layers = layersOf(record);
    let count = 0;
    await this.context.eachPage(mapRange(record.uuid), (found) => {
      for (const keyValue of found) {
        const page = decodeMapPage(keyValue, record.uuid);
        const { pageIndex } = page;
        const entries = entriesFor(page, record);
        checkMapEntries(entries, pageIndex, `etcd key ${keyValue.key}`, layers);
        for (const layer of entries) if (layer !== 0) count++;
      }
    });
    return count;
  }

  async delete(name: string): Promise<readonly number[]> {
    checkName('volume', name);
    // Where a record is damaged nobody knows what it needs, so nothing is deleted.
    await neededLayers(this.context);
    const record = await moveAside(this.context, name);
    return layersOnlyOf(record, await neededLayers(this.context));
  }

  async pendingDeletions(): Promise<readonly PendingDeletion[]> {
    return listPendingDeletions(this.context);
  }

  async finishDeletion(uuid: string): Promise<void> {
    const success = [{ delete: { key: deletionKey(uuid) } }];
    await this.context.patiently((setting) =>
      this.context.transact({ compare: [], success }, setting),
    );
  }

  /** Who is at the volumes now. */
  view(): Promise<ClusterView> {
    return viewCluster(this.context);
  }

  /** Gives back what is held here. Each ends, within its time; the first failure is told. */
  async close(): Promise<void> {
    await Promise.all([...this.waiting].map((standby) => standby.cancel()));
    const ends = await Promise.allSettled([...this.attachments].map((held) => held.release()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  private look(name: string): ReturnType<typeof lookAt> {
    return this.context.patiently((setting) => lookAt(this.context, name, setting));
  }

  private async take(name: string, readOnly: boolean, steal: boolean): Promise<EtcdAttachment> {
    const { context } = this;
    await this.look(name);
    const token = context.newUuid();
    const used: { lease: LeaseUsed | null } = { lease: null };
    try {
      const taken = await context.patiently(async (setting) => {
        used.lease ??= await context.grantLease(setting);
        const { leaseId, ttlMs: leaseTtlMs } = used.lease;
        const claim = { volume: name, token, leaseId, leaseTtlMs, readOnly, steal };
        try {
          return await take(context, claim, setting);
        } catch (error) {
          if (!hasCode(error, 'ETCD_LEASE_NOT_FOUND')) throw error;
          // It ended while others were waited for: once more with another.
          used.lease = null;
          throw overtaken(`volume "${name}"`);
        }
      });
      const ended = (attachment: EtcdAttachment): void => void this.attachments.delete(attachment);
      const lease = used.lease!;
      const attachment = new EtcdAttachment({ context, taken, lease, warm: null, ended });
      this.attachments.add(attachment);
      return attachment;
    } catch (error) {
      // An attempt that still arrives is refused then.
      if (used.lease !== null) await context.forgetLease(used.lease.leaseId);
      throw error;
    }
  }
}

function stealForReading(name: string): TapdiskError {
  return new TapdiskError(
    'STEAL_UNSUPPORTED',
    `volume "${name}" can be taken from its owner only for writing; leave --read-only out`,
  );
}
