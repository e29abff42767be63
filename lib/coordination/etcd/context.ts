/** What everything here works with: one cluster, one clock, one process of some host. */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock';
import { TapdiskError } from '../../errors';
import type {
  CallSetting,
  Etcd,
  KeyValue,
  Lease,
  Operation,
  Range,
  Transaction,
  TransactionReply,
} from '../../etcd/etcd';
import { retryTransient } from '../../etcd/retry';
import type { HostIdentity } from './host-identity';
import { keyAfter } from './keys';
import {
  ATTEMPT_MS_MAX,
  CALL_BUDGET_MS,
  LEASE_TTL_MS_DEFAULT,
  LEASE_TTL_MS_MAX,
  LEASE_TTL_MS_MIN,
  TAKE_OVER_WAIT_MS_DEFAULT,
} from './limits';

export interface EtcdSettings {
  readonly leaseTtlMs?: number;
  /** Before the first use of a volume that was not released, where the store has no fence. */
  readonly takeOverWaitMs?: number;
  /** Whether the store itself refuses what a former owner writes, as the etcd store does. */
  readonly storeFences: boolean;
}

export interface EtcdCoordinationOptions {
  /** Whoever gives it closes it, after the coordination. */
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly host: HostIdentity;
  readonly settings: EtcdSettings;
  /** Hears of each transaction that put values, to compact etcd's history in time. */
  readonly compactor?: { written(valueBytes: number, revision: number): void };
  /** Names that nobody else has; a simulation gives its own. */
  readonly newUuid?: () => string;
  /** From 0 on, below 1: for pauses. */
  readonly random?: () => number;
}

export class EtcdContext {
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly host: HostIdentity;
  readonly leaseTtlMs: number;
  readonly takeOverWaitMs: number;
  readonly storeFences: boolean;
  readonly newUuid: () => string;

  constructor(private readonly options: EtcdCoordinationOptions) {
    const { etcd, clock, host, settings, newUuid = randomUUID } = options;
    const { leaseTtlMs = LEASE_TTL_MS_DEFAULT } = settings;
    if (!(leaseTtlMs >= LEASE_TTL_MS_MIN && leaseTtlMs <= LEASE_TTL_MS_MAX)) {
      throw new TapdiskError(
        'LEASE_TTL_INVALID',
        `a lease of ${leaseTtlMs} ms is not possible; give one from ${LEASE_TTL_MS_MIN} to ` +
          `${LEASE_TTL_MS_MAX} ms`,
      );
    }
    this.etcd = etcd;
    this.clock = clock;
    this.host = host;
    this.leaseTtlMs = leaseTtlMs;
    this.takeOverWaitMs = settings.takeOverWaitMs ?? TAKE_OVER_WAIT_MS_DEFAULT;
    this.storeFences = settings.storeFences;
    this.newUuid = newUuid;
  }

  /**
   * Repeats `attempt` while etcd is away or others come between, within the budget of a call. An
   * attempt may be made again after one that had its effect: it must recognise that.
   */
  async patiently<Result>(
    attempt: (setting: CallSetting) => Promise<Result>,
    budgetMs = CALL_BUDGET_MS,
  ): Promise<Result> {
    const { clock } = this;
    const { random } = this.options;
    const setting = { clock, budgetMs, attemptMs: ATTEMPT_MS_MAX };
    const end = await retryTransient(
      async (call): Promise<{ result: Result } | { refusal: unknown }> => {
        try {
          return { result: await attempt(call) };
        } catch (error) {
          if (mayBeTriedAgain(error)) throw error;
          return { refusal: error };
        }
      },
      random === undefined ? setting : { ...setting, random },
    );
    if ('refusal' in end) throw end.refusal;
    return end.result;
  }

  /** One attempt. */
  async transact(transaction: Transaction, setting: CallSetting): Promise<TransactionReply> {
    const reply = await this.etcd.transaction(transaction, setting);
    if (reply.succeeded) {
      const bytes = bytesPut(transaction.success);
      if (bytes > 0) this.options.compactor?.written(bytes, reply.revision);
    }
    return reply;
  }

  async get(key: string, setting: CallSetting): Promise<KeyValue | undefined> {
    const reply = await this.etcd.range({ key }, setting);
    return reply.keyValues[0];
  }

  /** Every key of a range, some at a time: what is held at once is bounded by `each`. */
  async eachPage(
    range: Range & { readonly rangeEnd: string; readonly limit: number },
    each: (keyValues: readonly KeyValue[], revision: number) => void | Promise<void>,
  ): Promise<void> {
    let from = range.key;
    for (;;) {
      const reply = await this.patiently((setting) =>
        this.etcd.range({ ...range, key: from }, setting),
      );
      await each(reply.keyValues, reply.revision);
      if (!reply.more || reply.keyValues.length === 0) return;
      from = keyAfter(reply.keyValues[reply.keyValues.length - 1].key);
    }
  }

  /** @returns the lease, and when it was asked for */
  async grantLease(setting: CallSetting): Promise<Lease & { readonly sentAtMs: number }> {
    const sentAtMs = this.clock.nowMs();
    const lease = await this.etcd.grantLease(this.leaseTtlMs, setting);
    return { ...lease, sentAtMs };
  }

  /** Ends a lease for certain, and with it the keys that it holds. */
  async endLease(leaseId: string, budgetMs: number): Promise<void> {
    try {
      await this.patiently((setting) => this.etcd.revokeLease(leaseId, setting), budgetMs);
    } catch (error) {
      if (!hasCode(error, 'ETCD_LEASE_NOT_FOUND')) throw error;
    }
  }

  /** Tries once, since the lease ends by itself as well. */
  async forgetLease(leaseId: string): Promise<void> {
    try {
      await this.etcd.revokeLease(leaseId, { deadlineMs: ATTEMPT_MS_MAX });
    } catch {
      // Gone already, or etcd is away.
    }
  }
}

export function isTransient(error: unknown): boolean {
  return error instanceof TapdiskError && error.transient;
}

/** That somebody has the volume may end as well, but not while one waits. */
function mayBeTriedAgain(error: unknown): boolean {
  return isTransient(error) && /^(ETCD_.*|POOL_BUSY)$/.test((error as TapdiskError).code);
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof TapdiskError && error.code === code;
}

/** Others changed what an attempt had read: it may be made again. */
export function overtaken(what: string): TapdiskError {
  return new TapdiskError(
    'POOL_BUSY',
    `${what} was changed by others again and again; try again when they are done`,
    { transient: true },
  );
}

function bytesPut(operations: readonly Operation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    if ('put' in operation) bytes += operation.put.value.length;
  }
  return bytes;
}
