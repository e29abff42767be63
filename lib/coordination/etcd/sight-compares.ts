/** What makes a transaction fail where a volume is not any more as it was looked at. */
import type { CallSetting, Compare } from '../../etcd/etcd';
import type { EtcdContext } from './context';
import type { SeenHolder } from './holders';
import { lockKey, stateKey, volumeKey } from './keys';
import type { VolumeSight } from './records';

/** Nobody has attached, released, deleted or changed the volume since. */
export function unchanged(sight: VolumeSight, lock: SeenHolder | null): Compare[] {
  const { name, uuid } = sight.record;
  return [
    { key: lockKey(uuid), target: 'modRevision', equals: lock?.modRevision ?? 0 },
    { key: volumeKey(name), target: 'modRevision', equals: sight.recordRevision },
    { key: stateKey(uuid), target: 'modRevision', equals: sight.stateRevision },
  ];
}

/** Removes the keys of readers that died here; one that is there anew stays. */
export async function sweepReaders(
  context: EtcdContext,
  readers: readonly SeenHolder[],
  setting: CallSetting,
): Promise<void> {
  for (const { key, modRevision } of readers) {
    const compare: Compare[] = [{ key, target: 'modRevision', equals: modRevision }];
    await context.transact({ compare, success: [{ delete: { key } }] }, setting);
  }
}
