/** Gives a volume back that was attached for writing: clean, so that the next one need not wait. */
import type { CallSetting, Compare, KeyValue, Operation } from '../../etcd/etcd';
import { overtaken, type EtcdContext } from './context';
import { seenHolder } from './holders';
import { lockKey, presenceKey, stateKey } from './keys';
import { decodeState, encodeState, type Holder } from './values';

/**
 * One attempt; may be made again after one whose outcome is unknown. Does nothing where the volume
 * is not this holder's any more.
 */
export async function giveBack(
  context: EtcdContext,
  uuid: string,
  { token, host, volume }: Holder,
  setting: CallSetting,
): Promise<void> {
  const lock = lockKey(uuid);
  const state = stateKey(uuid);
  const seen = await context.etcd.transaction(
    { compare: [], success: [{ range: { key: lock } }, { range: { key: state } }] },
    setting,
  );
  const [locked, stated] = seen.ranges.map((reply): KeyValue | undefined => reply.keyValues[0]);
  if (stated === undefined) return;
  const before = decodeState(stated);
  if (before.owner?.token !== token) return;
  if (locked !== undefined && seenHolder(locked).holder.token !== token) return;
  if (locked === undefined && !before.inUse) return;
  const compare: Compare[] = [
    { key: lock, target: 'modRevision', equals: locked?.modRevision ?? 0 },
    { key: state, target: 'modRevision', equals: stated.modRevision },
  ];
  const success: Operation[] = [
    { put: { key: state, value: encodeState({ ...before, inUse: false }) } },
    { delete: { key: lock } },
    { delete: { key: presenceKey(host, token) } },
  ];
  const reply = await context.transact({ compare, success }, setting);
  if (!reply.succeeded) throw overtaken(`volume "${volume}"`);
}
