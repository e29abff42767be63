/** Deleting a volume: off the list in one transaction, forgotten when its layers are gone. */
import { prefixEnd, type CallSetting, type Operation } from '../../etcd/etcd';
import type { PendingDeletion } from '../coordination';
import { layersOnlyOf, type StoredRecord } from '../stored-record';
import { hasCode, overtaken, type EtcdContext } from './context';
import { attachedBy } from './holders';
import {
  DELETIONS_PREFIX,
  deletionKey,
  lockKey,
  mapPrefix,
  readersPrefix,
  stateKey,
  volumeKey,
  VOLUMES_PREFIX,
} from './keys';
import { lookAt, wholeRange, type VolumeSight } from './records';
import { sweepReaders, unchanged } from './sight-compares';
import { judge } from './take-over';
import { decodeDeletion, decodeRecord, encodeDeletion } from './values';

/**
 * Takes a volume that nobody has off the list, with its map.
 *
 * @returns its record
 * @throws TapdiskError VOLUME_NOT_FOUND, VOLUME_ATTACHED
 */
export function moveAside(context: EtcdContext, name: string): Promise<StoredRecord> {
  let asked: StoredRecord | null = null;
  return context.patiently(async (setting) => {
    const sight = await lookAgain(context, name, asked, setting);
    if (sight === null) return asked!;
    await moveOnce(context, sight, setting, () => (asked = sight.record));
    return sight.record;
  });
}

/** Null where what was asked for before has happened; a new volume may have the name by now. */
async function lookAgain(
  context: EtcdContext,
  name: string,
  asked: StoredRecord | null,
  setting: CallSetting,
): Promise<VolumeSight | null> {
  try {
    const sight = await lookAt(context, name, setting);
    return asked === null || asked.uuid === sight.record.uuid ? sight : null;
  } catch (error) {
    if (asked !== null && hasCode(error, 'VOLUME_NOT_FOUND')) return null;
    throw error;
  }
}

async function moveOnce(
  context: EtcdContext,
  sight: VolumeSight,
  setting: CallSetting,
  onAsking: () => void,
): Promise<void> {
  const { record } = sight;
  const { name, uuid } = record;
  const verdict = judge(sight, { token: '', readOnly: false, steal: false }, context);
  if (verdict.kind === 'refused') throw attachedBy(name, verdict.by);
  if (verdict.kind !== 'free') {
    await sweepReaders(context, sight.readers, setting);
    throw overtaken(`volume "${name}"`);
  }
  const readers = { key: readersPrefix(uuid), rangeEnd: prefixEnd(readersPrefix(uuid)) };
  const map = { key: mapPrefix(uuid), rangeEnd: prefixEnd(mapPrefix(uuid)) };
  const success: Operation[] = [
    { put: { key: deletionKey(uuid), value: encodeDeletion(record) } },
    { delete: { key: volumeKey(name) } },
    { delete: { key: stateKey(uuid) } },
    { delete: { key: lockKey(uuid) } },
    { delete: map },
  ];
  const compare = unchanged(sight, verdict.lock);
  onAsking();
  const { succeeded } = await context.transact(
    { compare: [...compare, { ...readers, target: 'createRevision', equals: 0 }], success },
    setting,
  );
  if (!succeeded) throw overtaken(`volume "${name}"`);
}

/** Deletions whose layers may still be in the store, with those of them that nobody needs. */
export async function listPendingDeletions(context: EtcdContext): Promise<PendingDeletion[]> {
  const deleted: StoredRecord[] = [];
  await context.eachPage(wholeRange(DELETIONS_PREFIX), (found) => {
    for (const keyValue of found) deleted.push(decodeDeletion(keyValue));
  });
  if (deleted.length === 0) return [];
  const needed = await neededLayers(context);
  return deleted.map((record) => {
    const { name, uuid, chunkBytes } = record;
    return { name, uuid, chunkBytes, layers: layersOnlyOf(record, needed) };
  });
}

/**
 * Layers of the volumes on the list.
 * @throws TapdiskError where a record is damaged: nobody knows then what it needs
 */
export async function neededLayers(context: EtcdContext): Promise<ReadonlySet<number>> {
  const needed = new Set<number>();
  await context.eachPage(wholeRange(VOLUMES_PREFIX), (found) => {
    for (const keyValue of found) {
      const record = decodeRecord(keyValue);
      for (const layer of [record.layer, ...record.frozenLayers]) needed.add(layer);
    }
  });
  return needed;
}
