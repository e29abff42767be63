/** The pool itself in a cluster: its identity, and what is there before the first volume. */
import { prefixEnd, type Etcd } from '../../etcd/etcd';
import type { Clock } from '../../clock';
import { retryTransient } from '../../etcd/retry';
import {
  DELETIONS_PREFIX,
  LAYER_COUNTER_KEY,
  POOL_KEY,
  STATES_PREFIX,
  VOLUMES_PREFIX,
} from './keys';
import { ATTEMPT_MS_MAX, CALL_BUDGET_MS } from './limits';
import { encodeLayerCounter } from './values';

/** The identity's bytes, as whoever made the pool wrote them; null where there is none. */
export async function readPoolKey(etcd: Etcd, clock: Clock): Promise<Buffer | null> {
  const reply = await retry(clock, (setting) => etcd.range({ key: POOL_KEY }, setting));
  return reply.keyValues[0]?.value ?? null;
}

/**
 * Makes a pool below the cluster's prefix, all at once.
 * @param identity must differ from every other pool's
 * @returns false where there is a pool already, which is left as it is
 */
export async function makePoolKeys(etcd: Etcd, clock: Clock, identity: Buffer): Promise<boolean> {
  const reply = await retry(clock, (setting) =>
    etcd.transaction(
      {
        compare: [POOL_KEY, LAYER_COUNTER_KEY].map((key) => {
          return { key, target: 'modRevision' as const, equals: 0 };
        }),
        success: [
          { put: { key: POOL_KEY, value: identity } },
          { put: { key: LAYER_COUNTER_KEY, value: encodeLayerCounter(0) } },
        ],
        failure: [{ range: { key: POOL_KEY } }],
      },
      setting,
    ),
  );
  // An attempt whose reply was lost may have made it.
  return reply.succeeded || reply.ranges[0].keyValues[0]?.value.equals(identity) === true;
}

/**
 * Removes a pool without volumes and pending deletions, all at once; done where it is gone.
 * @returns false where there are such, and nothing was removed
 */
export async function removePoolKeys(etcd: Etcd, clock: Clock): Promise<boolean> {
  const reply = await retry(clock, (setting) =>
    etcd.transaction(
      {
        compare: [VOLUMES_PREFIX, DELETIONS_PREFIX, STATES_PREFIX].map((key) => {
          return { key, rangeEnd: prefixEnd(key), target: 'createRevision' as const, equals: 0 };
        }),
        success: [{ delete: { key: POOL_KEY } }, { delete: { key: LAYER_COUNTER_KEY } }],
      },
      setting,
    ),
  );
  return reply.succeeded;
}

function retry<Result>(
  clock: Clock,
  attempt: Parameters<typeof retryTransient<Result>>[0],
): Promise<Result> {
  const setting = { clock, budgetMs: CALL_BUDGET_MS, attemptMs: ATTEMPT_MS_MAX };
  return retryTransient(attempt, setting);
}
