/** Gives a volume to a standby: the lock changes its owner and its lease, and is never free. */
import { TapdiskError } from '../../errors';
import type { CallSetting, Compare, KeyValue, Operation } from '../../etcd/etcd';
import { hasCode, overtaken, type EtcdContext } from './context';
import { nameOf, processOf, seenHolder, type SeenHolder } from './holders';
import { lockKey, standbysPrefix, stateKey } from './keys';
import { wholeRange } from './records';
import {
  decodeHolder,
  decodeState,
  encodeHolder,
  encodeState,
  type EtcdVolumeState,
  type Holder,
} from './values';

export interface KnownStandby extends SeenHolder {
  /** "host:pid" */
  readonly name: string;
}

/** Those that are ready, by name. */
export async function listStandbys(
  context: EtcdContext,
  uuid: string,
): Promise<readonly KnownStandby[]> {
  const known: KnownStandby[] = [];
  await context.eachPage(wholeRange(standbysPrefix(uuid)), (found) => {
    for (const keyValue of found) {
      const seen = seenHolder(keyValue);
      // Its lease has not ended, and nobody is there to take the volume.
      if (context.host.isDead(seen.holder)) continue;
      known.push({ ...seen, name: nameOf(seen.holder) });
    }
  });
  return known.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * One attempt; may be made again after one whose outcome is unknown. The caller writes nothing any
 * more, and has committed everything.
 *
 * @throws TapdiskError STANDBY_NOT_FOUND where it is gone, HAND_OVER_FAILED where the lock is
 */
export async function passOn(
  context: EtcdContext,
  uuid: string,
  owner: Holder,
  heir: KnownStandby,
  setting: CallSetting,
): Promise<void> {
  const success = [lockKey(uuid), stateKey(uuid), heir.key].map((key) => ({ range: { key } }));
  const seen = await context.etcd.transaction({ compare: [], success }, setting);
  const [lock, state, standby] = seen.ranges.map(
    (reply): KeyValue | undefined => reply.keyValues[0],
  );
  const token = lock === undefined ? null : decodeHolder(lock).token;
  if (token === heir.holder.token) return;
  if (lock === undefined || state === undefined) throw notOurs(owner, heir);
  if (token !== owner.token) throw notOurs(owner, heir);
  if (standby === undefined) throw standbyGone(owner, heir);
  const transaction = passing(context, { uuid, owner, heir, lock, state, standby });
  try {
    const reply = await context.transact(transaction, setting);
    if (!reply.succeeded) throw overtaken(`volume "${owner.volume}"`);
  } catch (error) {
    if (hasCode(error, 'ETCD_LEASE_NOT_FOUND')) throw standbyGone(owner, heir);
    throw error;
  }
}

interface Passing {
  readonly uuid: string;
  readonly owner: Holder;
  readonly heir: KnownStandby;
  readonly lock: KeyValue;
  readonly state: KeyValue;
  readonly standby: KeyValue;
}

function passing(
  { clock }: EtcdContext,
  { uuid, heir, lock, state, standby }: Passing,
): { compare: Compare[]; success: Operation[] } {
  const before = decodeState(state);
  const epoch = before.epoch + 1;
  const { token } = heir.holder;
  const after: EtcdVolumeState = {
    ...before,
    epoch,
    inUse: true,
    owner: { token, ...processOf(heir.holder) },
  };
  const holder: Holder = {
    ...heir.holder,
    epoch,
    uncleanBefore: false,
    attachedAt: clock.date().toISOString(),
  };
  const { leaseId } = standby;
  return {
    compare: [lock, state, standby].map(({ key, modRevision }): Compare => {
      return { key, target: 'modRevision', equals: modRevision };
    }),
    success: [
      // Refused where the standby's lease has ended: then the volume stays where it is.
      { put: { key: lockKey(uuid), value: encodeHolder(holder), leaseId } },
      { put: { key: stateKey(uuid), value: encodeState(after) } },
      { delete: { key: heir.key } },
    ],
  };
}

function standbyGone({ volume }: Holder, { name }: KnownStandby): TapdiskError {
  return new TapdiskError(
    'STANDBY_NOT_FOUND',
    `${name} does not stand by for volume "${volume}" any more; ` +
      'start attach --wait where it shall go',
  );
}

export function notOurs({ volume }: Holder, { name }: KnownStandby): TapdiskError {
  return new TapdiskError(
    'HAND_OVER_FAILED',
    `volume "${volume}" was not handed over to ${name}, since its lock is not confirmed here; ` +
      'try again when it is',
    { transient: true },
  );
}
