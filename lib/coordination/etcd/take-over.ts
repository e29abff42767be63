/**
 * Decides who may take a volume, from whom, and what has to be waited for: pure, no call is made.
 *
 * What is decided here counts only as far as the transaction that follows compares it.
 */
import type { HostIdentity } from './host-identity';
import type { SeenHolder } from './holders';
import { STEAL_WAIT_FACTOR, STEAL_WAIT_MARGIN_MS } from './limits';
import { fenceAfterMs } from './etcd-fence';
import type { VolumeSight } from './records';
import type { Holder } from './values';

export interface Wish {
  readonly token: string;
  readonly readOnly: boolean;
  readonly steal: boolean;
}

export interface TakingRules {
  readonly host: HostIdentity;
  readonly storeFences: boolean;
  readonly takeOverWaitMs: number;
}

export type Verdict =
  /** It is ours already: an attempt whose outcome was not known, or a hand-over. */
  | { readonly kind: 'own'; readonly mine: SeenHolder }
  | { readonly kind: 'refused'; readonly by: Holder }
  /** Readers that died on this host, to be removed first. */
  | { readonly kind: 'sweep'; readonly readers: readonly SeenHolder[] }
  | {
      readonly kind: 'free';
      /** Of the lock that is taken from somebody; null where there is none. */
      readonly lock: SeenHolder | null;
      readonly expelsReaders: boolean;
      readonly uncleanBefore: boolean;
      /** Before the first use. */
      readonly waitMs: number;
    };

export function judge(sight: VolumeSight, wish: Wish, rules: TakingRules): Verdict {
  const { lock, readers, state } = sight;
  const mine = [lock, ...readers].find((seen) => seen?.holder.token === wish.token);
  if (mine) return { kind: 'own', mine };
  const isLockDead = lock !== null && rules.host.isDead(lock.holder);
  if (lock !== null && !isLockDead && !wish.steal) return { kind: 'refused', by: lock.holder };
  const living = readers.filter(({ holder }) => !rules.host.isDead(holder));
  if (!wish.readOnly && readers.length > 0 && !wish.steal) {
    return living.length > 0
      ? { kind: 'refused', by: living[0].holder }
      : { kind: 'sweep', readers };
  }
  const robbed = [...(lock === null || isLockDead ? [] : [lock]), ...living];
  const fencesMs = wish.steal && robbed.length > 0 ? untilFenced(robbed) : 0;
  return {
    kind: 'free',
    lock,
    expelsReaders: wish.steal,
    uncleanBefore: state.inUse,
    waitMs: Math.max(state.unsettledMs, fencesMs + lateWritesMs(sight, isLockDead, rules)),
  };
}

/** For what the kernel of an owner that did not release may still carry to the store. */
function lateWritesMs(
  { state, lock }: VolumeSight,
  isLockDead: boolean,
  { host, storeFences, takeOverWaitMs }: TakingRules,
): number {
  if (storeFences) return 0;
  if (lock !== null && !isLockDead) return takeOverWaitMs;
  // On this host the store itself waits for what a dead process left in the kernel.
  const diedHere = isLockDead || (state.owner !== null && host.isDead(state.owner));
  return state.inUse && !diedHere ? takeOverWaitMs : 0;
}

/** Each stops by itself: none can be confirmed any more once it is robbed of its key. */
function untilFenced(robbed: readonly SeenHolder[]): number {
  const longestMs = Math.max(...robbed.map(({ holder }) => fenceAfterMs(holder.leaseTtlMs)));
  return Math.ceil(longestMs * STEAL_WAIT_FACTOR) + STEAL_WAIT_MARGIN_MS;
}
