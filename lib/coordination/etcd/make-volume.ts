/** Makes a volume: record, state and layer id in one transaction. */
import { TapdiskError } from '../../errors';
import type { CallSetting, KeyValue } from '../../etcd/etcd';
import type { CreateVolume } from '../coordination';
import type { StoredRecord } from '../stored-record';
import type { VolumeRecord } from '../volume-record';
import { overtaken, type EtcdContext } from './context';
import { LAYER_COUNTER_KEY, stateKey, volumeKey } from './keys';
import { nextLayer } from './start-layer';
import { decodeRecord, encodeRecord, encodeState, type EtcdVolumeState } from './values';

const NEVER_ATTACHED: EtcdVolumeState = { epoch: 0, inUse: false, unsettledMs: 0, owner: null };

/**
 * One attempt; may be made again, with the same uuid, after one whose outcome is unknown.
 * @throws TapdiskError VOLUME_EXISTS, LAYERS_EXHAUSTED; POOL_BUSY (transient) where others came
 * between
 */
export async function makeVolume(
  context: EtcdContext,
  { name, sizeBytes, chunkBytes }: CreateVolume,
  uuid: string,
  setting: CallSetting,
): Promise<VolumeRecord> {
  const key = volumeKey(name);
  const { ranges } = await context.etcd.transaction(
    { compare: [], success: [{ range: { key } }, { range: { key: LAYER_COUNTER_KEY } }] },
    setting,
  );
  const [[found], [counter]] = ranges.map((reply): readonly KeyValue[] => reply.keyValues);
  if (found !== undefined) {
    const record = decodeRecord(found);
    if (record.uuid === uuid) return { ...record, epoch: 0 };
    throw new TapdiskError(
      'VOLUME_EXISTS',
      `volume "${name}" exists already; choose another name, or delete it first`,
    );
  }
  const next = nextLayer(counter);
  const record: StoredRecord = {
    name,
    uuid,
    sizeBytes,
    chunkBytes,
    layer: next.layer,
    frozenLayers: [],
    createdAt: context.clock.date().toISOString(),
  };
  const { succeeded } = await context.transact(
    {
      compare: [next.compare, { key, target: 'modRevision', equals: 0 }],
      success: [
        next.put,
        { put: { key, value: encodeRecord(record) } },
        { put: { key: stateKey(uuid), value: encodeState(NEVER_ATTACHED) } },
      ],
    },
    setting,
  );
  if (!succeeded) throw overtaken('the layer counter');
  return { ...record, epoch: 0 };
}
