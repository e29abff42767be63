/** The volumes' records and states, as one reads them without having a volume. */
import { TapdiskError } from '../../errors';
import { prefixEnd, type CallSetting, type KeyValue } from '../../etcd/etcd';
import { checkName } from '../name';
import type { StoredRecord } from '../stored-record';
import type { VolumeRecord } from '../volume-record';
import { overtaken, type EtcdContext } from './context';
import { lockKey, readersPrefix, stateKey, STATES_PREFIX, volumeKey, VOLUMES_PREFIX } from './keys';
import { KEYS_PER_RANGE, READERS_LOOKED_AT_MAX } from './limits';
import { seenHolder, type SeenHolder } from './holders';
import { decodeRecord, decodeState, stateIsGone, type EtcdVolumeState } from './values';

/** A volume with everybody who is at it, all of one revision. */
export interface VolumeSight {
  readonly record: StoredRecord;
  readonly recordRevision: number;
  readonly state: EtcdVolumeState;
  readonly stateRevision: number;
  readonly lock: SeenHolder | null;
  /** The first few. */
  readonly readers: readonly SeenHolder[];
}

/** One attempt. @throws TapdiskError VOLUME_NOT_FOUND; POOL_BUSY where it was just made anew */
export async function lookAt(
  context: EtcdContext,
  name: string,
  setting: CallSetting,
): Promise<VolumeSight> {
  const key = volumeKey(checkName('volume', name));
  const found = await context.get(key, setting);
  if (found === undefined) throw notFound(name);
  const record = decodeRecord(found);
  const readers = readersPrefix(record.uuid);
  const { succeeded, ranges } = await context.etcd.transaction(
    {
      compare: [{ key, target: 'modRevision', equals: found.modRevision }],
      success: [
        { range: { key: stateKey(record.uuid) } },
        { range: { key: lockKey(record.uuid) } },
        { range: { key: readers, rangeEnd: prefixEnd(readers), limit: READERS_LOOKED_AT_MAX } },
      ],
    },
    setting,
  );
  if (!succeeded) throw overtaken(`volume "${name}"`);
  const [[state], [lock], seenReaders] = ranges.map(
    (reply): readonly KeyValue[] => reply.keyValues,
  );
  if (state === undefined) throw stateIsGone(stateKey(record.uuid));
  return {
    record,
    recordRevision: found.modRevision,
    state: decodeState(state),
    stateRevision: state.modRevision,
    lock: lock === undefined ? null : seenHolder(lock),
    readers: seenReaders.map(seenHolder),
  };
}

/** Records in the order of their names. @throws TapdiskError where one is damaged */
export async function listRecords(context: EtcdContext): Promise<VolumeRecord[]> {
  const stored: StoredRecord[] = [];
  await context.eachPage(wholeRange(VOLUMES_PREFIX), (found) => {
    for (const keyValue of found) stored.push(decodeRecord(keyValue));
  });
  const epochs = new Map<string, number>();
  await context.eachPage(wholeRange(STATES_PREFIX), (found) => {
    for (const keyValue of found) {
      epochs.set(keyValue.key.slice(STATES_PREFIX.length), decodeState(keyValue).epoch);
    }
  });
  const records: VolumeRecord[] = [];
  for (const record of stored) {
    const epoch = epochs.get(record.uuid);
    if (epoch !== undefined) records.push({ ...record, epoch });
    else if (await isStillThere(context, record)) throw stateIsGone(stateKey(record.uuid));
  }
  return records;
}

/** False where it was deleted since it was listed. */
async function isStillThere(context: EtcdContext, { name, uuid }: StoredRecord): Promise<boolean> {
  const found = await context.patiently((setting) => context.get(volumeKey(name), setting));
  return found !== undefined && decodeRecord(found).uuid === uuid;
}

/** Names in order, of volumes with a damaged record too. */
export async function listNames(context: EtcdContext): Promise<string[]> {
  const names: string[] = [];
  await context.eachPage({ ...wholeRange(VOLUMES_PREFIX), keysOnly: true }, (found) => {
    for (const { key } of found) names.push(key.slice(VOLUMES_PREFIX.length));
  });
  return names;
}

export function wholeRange(prefix: string): { key: string; rangeEnd: string; limit: number } {
  return { key: prefix, rangeEnd: prefixEnd(prefix), limit: KEYS_PER_RANGE };
}

export function notFound(name: string): TapdiskError {
  return new TapdiskError(
    'VOLUME_NOT_FOUND',
    `there is no volume "${name}" in the cluster; tapdisk-ts list shows those there are`,
  );
}
