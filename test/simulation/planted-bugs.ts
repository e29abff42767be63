/** Mistakes that coordinated owners could make, as wrappers around the sound ones. */
import type { Clock } from '../../lib/clock';
import type { EtcdFence } from '../../lib/coordination/etcd/etcd-fence';
import type { Attachment } from '../../lib/coordination/coordination';
import type { Etcd, Transaction } from '../../lib/etcd/etcd';
import { FENCE_LOST, FENCE_OPEN, type Fence } from '../../lib/fence';

export interface PlantedBug {
  etcd?(etcd: Etcd): Etcd;
  attachment?(attachment: Attachment, clock: Clock): Attachment;
  readonly takeOverWaitMs?: number;
}

export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  'no self-fence': {
    attachment: (attachment) => {
      const inner = attachment.fence!;
      const fence: Fence = {
        state: () => (inner.state() === FENCE_LOST ? FENCE_LOST : FENCE_OPEN),
        onChange: (listener) => inner.onChange(listener),
      };
      return overriding(attachment, { fence });
    },
  },
  'a lock that is put anew without a look at the epoch': {
    etcd: (etcd) =>
      withTransactions(etcd, (transaction) =>
        puts(transaction, 'attach/') && !puts(transaction, 'state/')
          ? withoutCompare(transaction, 'state/')
          : transaction,
      ),
  },
  'a fence that counts from the reply to a keep-alive': {
    attachment: (attachment, clock) => {
      const fence = attachment.fence as EtcdFence;
      const confirm = fence.confirm.bind(fence);
      fence.confirm = (_sentAtMs, ttlMs, term) => confirm(clock.nowMs(), ttlMs, term);
      return attachment;
    },
  },
  'a commit that does not compare the lock': {
    etcd: (etcd) =>
      withTransactions(etcd, (transaction) =>
        puts(transaction, 'map/') ? withoutCompare(transaction, 'attach/') : transaction,
      ),
  },
  'no wait after an owner that did not release': { takeOverWaitMs: 0 },
};

function puts({ success }: Transaction, prefix: string): boolean {
  return success.some((done) => 'put' in done && done.put.key.startsWith(prefix));
}

function withoutCompare(transaction: Transaction, prefix: string): Transaction {
  const compare = transaction.compare.filter(({ key }) => !key.startsWith(prefix));
  return { ...transaction, compare };
}

function withTransactions(etcd: Etcd, change: (transaction: Transaction) => Transaction): Etcd {
  return overriding(etcd, {
    transaction: (transaction, setting) => etcd.transaction(change(transaction), setting),
  });
}

/** Everything else goes to the one that is wrapped. */
function overriding<Wrapped extends object>(wrapped: Wrapped, parts: Partial<Wrapped>): Wrapped {
  return new Proxy(wrapped, {
    get(target, name): unknown {
      const value: unknown = Reflect.get(name in parts ? parts : target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
