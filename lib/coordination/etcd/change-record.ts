/** Replaces a volume's record by the right of its owner, with what goes along in one transaction. */
import type { CallSetting, Compare, KeyValue, Operation } from '../../etcd/etcd';
import { TapdiskError } from '../../errors';
import type { StoredRecord } from '../stored-record';
import { overtaken, type EtcdContext } from './context';
import { volumeKey } from './keys';
import type { Right } from './right';
import { decodeRecord, encodeRecord } from './values';

/** A record as etcd had it, and as it shall be. */
export interface RecordChange {
  readonly found: KeyValue;
  readonly after: StoredRecord;
  /** What else must be as it was, and what else is done. */
  readonly compare?: readonly Compare[];
  readonly success?: readonly Operation[];
}

/**
 * One attempt.
 *
 * @throws TapdiskError POOL_BUSY (transient) where others came between
 */
export async function changeRecord(
  context: EtcdContext,
  right: Right,
  { found, after, compare = [], success = [] }: RecordChange,
  setting: CallSetting,
): Promise<StoredRecord> {
  const guard = right.guard();
  const { key, modRevision } = found;
  const reply = await context.transact(
    {
      compare: [...guard, ...compare, { key, target: 'modRevision', equals: modRevision }],
      success: [...success, { put: { key, value: encodeRecord(after) } }],
      failure: [{ range: { key: right.key } }],
    },
    setting,
  );
  if (reply.succeeded) return after;
  const [lock] = reply.ranges[0].keyValues;
  if (!guard.some(({ equals }) => equals === lock?.modRevision)) right.doubt(guard);
  throw overtaken(`volume "${after.name}"`);
}

/** To be thrown where an owner's volume has no record: then it is the owner's no more. */
export function recordGone(right: Right, name: string): TapdiskError {
  right.doubt(right.guard());
  return overtaken(`volume "${name}"`);
}

/**
 * Gives a volume another size. One attempt; may be made again after one whose outcome is unknown.
 *
 * @throws TapdiskError POOL_BUSY (transient) where others came between
 */
export async function resizeRecord(
  context: EtcdContext,
  right: Right,
  name: string,
  sizeBytes: number,
  setting: CallSetting,
): Promise<StoredRecord> {
  const found = await context.get(volumeKey(name), setting);
  if (found === undefined) throw recordGone(right, name);
  const record = decodeRecord(found);
  // By this attempt or by one before it, whose reply was lost.
  if (record.sizeBytes === sizeBytes) return record;
  return changeRecord(context, right, { found, after: { ...record, sizeBytes } }, setting);
}
