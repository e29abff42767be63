/** Layer ids: given out once in a pool, in the transaction that uses them. */
import { TapdiskError } from '../../errors';
import type { CallSetting, Compare, KeyValue, Operation } from '../../etcd/etcd';
import { LAYER_MAX } from '../limits';
import type { StoredRecord } from '../stored-record';
import { changeRecord, recordGone } from './change-record';
import type { EtcdContext } from './context';
import { LAYER_COUNTER_KEY, volumeKey } from './keys';
import type { Right } from './right';
import { decodeLayerCounter, decodeRecord, encodeLayerCounter } from './values';

/** The next layer id, with what a transaction that uses it must compare and do. */
export interface NextLayer {
  readonly layer: number;
  readonly compare: Compare;
  readonly put: Operation;
}

/** @throws TapdiskError LAYERS_EXHAUSTED, LAYER_COUNTER_CORRUPT, LAYER_COUNTER_VERSION_UNKNOWN */
export function nextLayer(counter: KeyValue | undefined): NextLayer {
  const key = LAYER_COUNTER_KEY;
  const layer = decodeLayerCounter(counter, key) + 1;
  if (layer > LAYER_MAX) {
    throw new TapdiskError(
      'LAYERS_EXHAUSTED',
      `the pool has given out all ${LAYER_MAX} layer ids (etcd key ${key}); ` +
        'make volumes in a new pool',
    );
  }
  return {
    layer,
    compare: { key, target: 'modRevision', equals: counter!.modRevision },
    put: { put: { key, value: encodeLayerCounter(layer) } },
  };
}

/**
 * Freezes a volume's layer and starts a new one. One attempt; may be made again after one whose
 * outcome is unknown.
 *
 * @throws TapdiskError POOL_BUSY (transient) where others came between
 */
export async function startLayer(
  context: EtcdContext,
  right: Right,
  known: StoredRecord,
  setting: CallSetting,
): Promise<StoredRecord> {
  const key = volumeKey(known.name);
  const { ranges } = await context.etcd.transaction(
    { compare: [], success: [{ range: { key } }, { range: { key: LAYER_COUNTER_KEY } }] },
    setting,
  );
  const [[found], [counter]] = ranges.map((reply): readonly KeyValue[] => reply.keyValues);
  if (found === undefined) throw recordGone(right, known.name);
  const record = decodeRecord(found);
  // Nobody else changes it: an attempt of ours had its effect.
  if (record.uuid === known.uuid && record.layer !== known.layer) return record;
  const { layer, compare, put } = nextLayer(counter);
  const after: StoredRecord = {
    ...record,
    layer,
    frozenLayers: [...record.frozenLayers, record.layer],
  };
  return changeRecord(
    context,
    right,
    { found, after, compare: [compare], success: [put] },
    setting,
  );
}
