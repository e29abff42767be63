/**
 * Takes a volume's lock, or a reader's place, in one transaction.
 *
 * It compares all that the decision was made from, so whoever comes between makes it fail; and the
 * key's random token tells one's own success where the reply was lost.
 */
import { prefixEnd, type CallSetting, type Compare, type Operation } from '../../etcd/etcd';
import type { StoredRecord } from '../stored-record';
import { overtaken, type EtcdContext } from './context';
import { attachedBy, describeSelf, processOf, type SeenHolder } from './holders';
import { lockKey, presenceKey, readerKey, readersPrefix, stateKey } from './keys';
import { lookAt, notFound, type VolumeSight } from './records';
import { sweepReaders, unchanged } from './sight-compares';
import { judge, type Verdict } from './take-over';
import { encodeHolder, encodeState, type EtcdVolumeState, type Holder } from './values';

/** Under which lease, for whom. */
export interface Claim {
  readonly volume: string;
  /** Where another volume of that name, made since, is not meant. */
  readonly uuid?: string;
  readonly token: string;
  readonly leaseId: string;
  readonly leaseTtlMs: number;
  readonly readOnly: boolean;
  readonly steal: boolean;
  /** A standby's key, which ends with its wait. */
  readonly standbyKey?: string;
}

/** What was taken, as etcd has it. */
export interface Taken {
  readonly record: StoredRecord;
  readonly recordRevision: number;
  readonly holder: Holder;
  /** Of the lock, or of the reader's key. */
  readonly modRevision: number;
  /** As it was when the volume was taken: a writer's own. */
  readonly state: EtcdVolumeState;
  readonly stateRevision: number;
  /** To be waited for before the first use. */
  readonly waitMs: number;
}

/**
 * One attempt; may be made again after one whose outcome is unknown.
 *
 * @throws TapdiskError VOLUME_NOT_FOUND, VOLUME_ATTACHED, ETCD_LEASE_NOT_FOUND; POOL_BUSY
 * (transient) where others came between
 */
export async function take(
  context: EtcdContext,
  claim: Claim,
  setting: CallSetting,
): Promise<Taken> {
  const sight = await lookAt(context, claim.volume, setting);
  const { uuid = sight.record.uuid } = claim;
  if (sight.record.uuid !== uuid) throw notFound(claim.volume);
  const verdict = judge(sight, claim, context);
  switch (verdict.kind) {
    case 'own':
      return takenBefore(sight, verdict.mine);
    case 'refused':
      throw attachedBy(claim.volume, verdict.by);
    case 'sweep':
      await sweepReaders(context, verdict.readers, setting);
      throw overtaken(`volume "${claim.volume}"`);
    case 'free':
      return claim.readOnly
        ? takeReading(context, claim, sight, verdict, setting)
        : takeWriting(context, claim, sight, verdict, setting);
  }
}

type Free = Extract<Verdict, { kind: 'free' }>;

function takenBefore(sight: VolumeSight, mine: SeenHolder): Taken {
  return {
    ...sight,
    holder: mine.holder,
    modRevision: mine.modRevision,
    waitMs: sight.state.unsettledMs,
  };
}

async function takeWriting(
  context: EtcdContext,
  claim: Claim,
  sight: VolumeSight,
  free: Free,
  setting: CallSetting,
): Promise<Taken> {
  const { uuid } = sight.record;
  const epoch = sight.state.epoch + 1;
  const holder = holderOf(context, claim, epoch, free.uncleanBefore);
  const state: EtcdVolumeState = {
    epoch,
    inUse: true,
    unsettledMs: free.waitMs,
    owner: { token: claim.token, ...processOf(context.host) },
  };
  const readers = { key: readersPrefix(uuid), rangeEnd: prefixEnd(readersPrefix(uuid)) };
  const compare: Compare[] = unchanged(sight, free.lock);
  if (!free.expelsReaders) compare.push({ ...readers, target: 'createRevision', equals: 0 });
  const success: Operation[] = [
    { put: { key: lockKey(uuid), value: encodeHolder(holder), leaseId: claim.leaseId } },
    { put: { key: stateKey(uuid), value: encodeState(state) } },
    ...presenceOf(context, claim, holder),
  ];
  if (free.expelsReaders) success.push({ delete: readers });
  if (claim.standbyKey !== undefined) success.push({ delete: { key: claim.standbyKey } });
  const reply = await context.transact({ compare, success }, setting);
  if (!reply.succeeded) throw overtaken(`volume "${claim.volume}"`);
  const modRevision = reply.revision;
  const { record, recordRevision } = sight;
  return {
    record,
    recordRevision,
    holder,
    modRevision,
    state,
    stateRevision: modRevision,
    waitMs: free.waitMs,
  };
}

async function takeReading(
  context: EtcdContext,
  claim: Claim,
  sight: VolumeSight,
  free: Free,
  setting: CallSetting,
): Promise<Taken> {
  const { uuid } = sight.record;
  const holder = holderOf(context, claim, sight.state.epoch, free.uncleanBefore);
  const key = readerKey(uuid, claim.token);
  const success: Operation[] = [
    { put: { key, value: encodeHolder(holder), leaseId: claim.leaseId } },
    ...presenceOf(context, claim, holder),
  ];
  if (free.lock !== null) success.push({ delete: { key: lockKey(uuid) } });
  const compare: Compare[] = [
    ...unchanged(sight, free.lock),
    { key, target: 'modRevision', equals: 0 },
  ];
  const reply = await context.transact({ compare, success }, setting);
  if (!reply.succeeded) throw overtaken(`volume "${claim.volume}"`);
  return { ...sight, holder, modRevision: reply.revision, waitMs: free.waitMs };
}

function holderOf(
  context: EtcdContext,
  { token, volume, readOnly, leaseTtlMs }: Claim,
  epoch: number,
  uncleanBefore: boolean,
): Holder {
  return describeSelf(context, { token, volume, readOnly, epoch, uncleanBefore, leaseTtlMs });
}

function presenceOf({ host }: EtcdContext, claim: Claim, holder: Holder): Operation[] {
  const { leaseId, token } = claim;
  return [{ put: { key: presenceKey(host.host, token), value: encodeHolder(holder), leaseId } }];
}
