/** What every `Etcd` does: run on the real one and on the simulation's, so that the double is proven. */
import { TapdiskError } from '../../lib/errors';
import type { Compare, Etcd, RangeReply, TransactionReply, WatchEvent } from '../../lib/etcd/etcd';
import { prefixEnd } from '../../lib/etcd/etcd';

/** What a suite needs of the kind that it is run on. */
export interface ContractKind {
  /** Opens the part of a cluster below a prefix, such as `/a/`, or a cluster of its own. */
  open(prefix: string): Promise<Etcd>;
  /** Lets time go by: really, or in the simulation. */
  sleep(delayMs: number): Promise<void>;
}

const SETTING = { deadlineMs: 10_000 };
const ALL = { key: '', rangeEnd: '\0' };

/** Long enough for a watch to be confirmed, and for what it saw to arrive. */
const SETTLE_MS = 500;

const text = (value: string): Buffer => Buffer.from(value);
const keysOf = ({ keyValues }: RangeReply): string[] => keyValues.map(({ key }) => key);
const valuesOf = ({ keyValues }: RangeReply): string[] =>
  keyValues.map(({ value }) => value.toString());

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'none';
  } catch (error) {
    if (error instanceof TapdiskError) return error.code;
    throw error;
  }
}

export function describeEtcd(name: string, make: () => Promise<ContractKind>): void {
  describe(`what an etcd does: ${name}`, () => {
    let kind: ContractKind;
    let etcd: Etcd;
    let others: Etcd[];
    let tests = 0;

    beforeAll(async () => {
      kind = await make();
    });
    beforeEach(async () => {
      etcd = await kind.open(`/contract/test${++tests}/`);
      others = [];
    });
    afterEach(async () => {
      for (const one of [etcd, ...others]) await one.close();
    });

    const openOther = async (prefix: string): Promise<Etcd> => {
      const other = await kind.open(prefix);
      others.push(other);
      return other;
    };
    const put = (
      key: string,
      value: string | Buffer,
      leaseId?: string,
    ): Promise<TransactionReply> =>
      etcd.transaction(
        {
          compare: [],
          success: [
            {
              put: {
                key,
                value: Buffer.isBuffer(value) ? value : text(value),
                ...(leaseId === undefined ? {} : { leaseId }),
              },
            },
          ],
        },
        SETTING,
      );
    const remove = (key: string, rangeEnd?: string): Promise<TransactionReply> =>
      etcd.transaction(
        {
          compare: [],
          success: [{ delete: { key, ...(rangeEnd === undefined ? {} : { rangeEnd }) } }],
        },
        SETTING,
      );
    /** Whether the comparison holds. */
    const holds = async (...compare: Compare[]): Promise<boolean> =>
      (await etcd.transaction({ compare, success: [] }, SETTING)).succeeded;

    describe('keys', () => {
      test('have a value, and the revisions of their making and of their last change', async () => {
        const first = await put('a', 'one');
        const second = await put('a', 'two');
        expect(second.revision).toBe(first.revision + 1);
        const reply = await etcd.range({ key: 'a' }, SETTING);
        expect(reply).toEqual({
          revision: second.revision,
          more: false,
          count: 1,
          keyValues: [
            {
              key: 'a',
              value: text('two'),
              createRevision: first.revision,
              modRevision: second.revision,
              leaseId: '0',
            },
          ],
        });
      });

      test('keep empty and binary values', async () => {
        const binary = Buffer.from([0, 255, 128, 10, 0]);
        await put('empty', '');
        await put('binary', binary);
        const { keyValues } = await etcd.range(ALL, SETTING);
        expect(keyValues.map(({ value }) => value)).toEqual([binary, Buffer.alloc(0)]);
      });

      test('that are deleted and made again are new', async () => {
        const { revision } = await put('a', 'one');
        await remove('a');
        expect(keysOf(await etcd.range({ key: 'a' }, SETTING))).toEqual([]);
        const again = await put('a', 'two');
        const [{ createRevision }] = (await etcd.range({ key: 'a' }, SETTING)).keyValues;
        expect(createRevision).toBe(again.revision);
        expect(createRevision).toBeGreaterThan(revision);
      });

      test('of another prefix are invisible and untouched', async () => {
        // The one's prefix is the beginning of the other's name, not of its path.
        const other = await openOther(`/contract/test${tests}0/`);
        await put('a', 'mine');
        await other.transaction(
          { compare: [], success: [{ put: { key: 'a', value: text('theirs') } }] },
          SETTING,
        );
        expect(valuesOf(await etcd.range(ALL, SETTING))).toEqual(['mine']);
        await remove('', '\0');
        expect(valuesOf(await other.range(ALL, SETTING))).toEqual(['theirs']);
      });
    });

    describe('a range', () => {
      beforeEach(async () => {
        for (const key of ['a', 'b', 'b/1', 'b/2', 'c']) await put(key, `of ${key}`);
      });

      test('is in the order of the keys, without its end', async () => {
        expect(keysOf(await etcd.range({ key: 'b', rangeEnd: 'c' }, SETTING))).toEqual([
          'b',
          'b/1',
          'b/2',
        ]);
        const below = await etcd.range({ key: 'b/', rangeEnd: prefixEnd('b/') }, SETTING);
        expect(keysOf(below)).toEqual(['b/1', 'b/2']);
        expect(keysOf(await etcd.range({ key: 'b/2', rangeEnd: '\0' }, SETTING))).toEqual([
          'b/2',
          'c',
        ]);
        expect(keysOf(await etcd.range({ ...ALL, key: prefixEnd('') }, SETTING))).toHaveLength(5);
      });

      test('says whether its limit left any out', async () => {
        expect(await etcd.range({ ...ALL, limit: 2 }, SETTING)).toMatchObject({
          keyValues: [{ key: 'a' }, { key: 'b' }],
          more: true,
          count: 5,
        });
        expect(await etcd.range({ ...ALL, limit: 5 }, SETTING)).toMatchObject({ more: false });
      });

      test('gives keys alone, or their count alone', async () => {
        const keys = await etcd.range({ ...ALL, keysOnly: true }, SETTING);
        expect(keysOf(keys)).toHaveLength(5);
        expect(valuesOf(keys).join('')).toBe('');
        expect(await etcd.range({ ...ALL, countOnly: true }, SETTING)).toMatchObject({
          keyValues: [],
          count: 5,
        });
      });

      test('gives only what was changed since a revision', async () => {
        const { revision } = await put('b/1', 'changed');
        await put('c', 'changed');
        const reply = await etcd.range({ ...ALL, minModRevision: revision }, SETTING);
        expect(keysOf(reply)).toEqual(['b/1', 'c']);
        const none = await etcd.range({ ...ALL, minModRevision: revision + 2 }, SETTING);
        expect(none).toMatchObject({ keyValues: [], revision: revision + 1 });
      });
    });

    test('a range of 24 MiB comes whole', async () => {
      const value = Buffer.alloc(512 * 1024, 7);
      const keys = Array.from({ length: 48 }, (_, index) => String(index).padStart(3, '0'));
      for (const key of keys) await put(key, value);
      const reply = await etcd.range(ALL, SETTING);
      expect(keysOf(reply)).toEqual(keys);
      expect(reply).toMatchObject({ more: false, count: 48 });
      expect(reply.keyValues.every((one) => one.value.equals(value))).toBe(true);
      await remove('', '\0');
    });

    describe('a transaction', () => {
      test('does all or nothing, by its comparisons', async () => {
        const take = (value: string): Promise<TransactionReply> =>
          etcd.transaction(
            {
              compare: [{ key: 'lock', target: 'createRevision', equals: 0 }],
              success: [
                { put: { key: 'lock', value: text(value) } },
                { put: { key: 'state', value: text(value) } },
              ],
              failure: [{ range: { key: 'lock' } }, { range: { key: 'none' } }],
            },
            SETTING,
          );
        const first = await take('one');
        expect(first).toMatchObject({ succeeded: true, ranges: [] });
        const second = await take('two');
        expect(second.succeeded).toBe(false);
        expect(second.revision).toBe(first.revision);
        expect(second.ranges.map(valuesOf)).toEqual([['one'], []]);
        expect(valuesOf(await etcd.range(ALL, SETTING))).toEqual(['one', 'one']);
      });

      test('sees what it did itself, in order', async () => {
        const { ranges } = await etcd.transaction(
          {
            compare: [],
            success: [
              { range: { key: 'a' } },
              { put: { key: 'a', value: text('new') } },
              { range: { key: 'a' } },
            ],
          },
          SETTING,
        );
        expect(ranges.map(valuesOf)).toEqual([[], ['new']]);
      });

      test('compares revisions and values', async () => {
        const { revision } = await put('a', 'one');
        const { revision: changed } = await put('a', 'two');
        expect(await holds({ key: 'a', target: 'createRevision', equals: revision })).toBe(true);
        expect(await holds({ key: 'a', target: 'modRevision', equals: changed })).toBe(true);
        expect(await holds({ key: 'a', target: 'modRevision', equals: revision })).toBe(false);
        expect(await holds({ key: 'a', target: 'value', equals: text('two') })).toBe(true);
        expect(await holds({ key: 'a', target: 'value', equals: text('one') })).toBe(false);
        // What is not there has revisions of 0, and no value that anything is equal to.
        expect(await holds({ key: 'b', target: 'modRevision', equals: 0 })).toBe(true);
        expect(await holds({ key: 'b', target: 'value', equals: text('') })).toBe(false);
        expect(
          await holds(
            { key: 'a', target: 'modRevision', equals: changed },
            { key: 'b', target: 'createRevision', equals: 1 },
          ),
        ).toBe(false);
      });

      test('compares every key of a range', async () => {
        const noReaders = {
          key: 'readers/',
          rangeEnd: prefixEnd('readers/'),
          target: 'createRevision',
          equals: 0,
        } as const;
        expect(await holds(noReaders)).toBe(true);
        await put('readers', '');
        await put('reader', '');
        expect(await holds(noReaders)).toBe(true);
        await put('readers/x', '');
        expect(await holds(noReaders)).toBe(false);
        await remove('readers/x');
        expect(await holds(noReaders)).toBe(true);
      });

      test('that changes nothing has no revision of its own', async () => {
        const { revision } = await put('a', 'one');
        const idle = await etcd.transaction({ compare: [], success: [] }, SETTING);
        expect(idle.revision).toBe(revision);
        expect((await remove('none')).revision).toBe(revision);
      });

      test('is refused where it is too large', async () => {
        const operations = Array.from({ length: 129 }, (_, index) => ({
          put: { key: String(index), value: text('') },
        }));
        const many = etcd.transaction({ compare: [], success: operations }, SETTING);
        expect(await codeOf(many)).toBe('ETCD_TOO_LARGE');
        expect(await codeOf(put('a', Buffer.alloc(2 * 1024 * 1024)))).toBe('ETCD_TOO_LARGE');
        expect(keysOf(await etcd.range(ALL, SETTING))).toEqual([]);
      });

      test('of 127 operations or of nearly 1.5 MiB is not', async () => {
        const operations = Array.from({ length: 127 }, (_, index) => ({
          put: { key: String(index), value: text('') },
        }));
        await etcd.transaction({ compare: [], success: operations }, SETTING);
        await put('large', Buffer.alloc(1_500_000));
        expect(await etcd.range({ ...ALL, countOnly: true }, SETTING)).toMatchObject({
          count: 128,
        });
      });
    });

    describe('a lease', () => {
      test('has an id of 64 bits in decimal, and at least the time that was asked for', async () => {
        const { leaseId, ttlMs } = await etcd.grantLease(20_000, SETTING);
        expect(leaseId).toMatch(/^[1-9][0-9]{0,18}$/);
        expect(ttlMs).toBeGreaterThanOrEqual(20_000);
        await put('a', 'one', leaseId);
        const [keyValue] = (await etcd.range({ key: 'a' }, SETTING)).keyValues;
        expect(keyValue.leaseId).toBe(leaseId);
        const leftMs = await etcd.leaseTimeLeft(leaseId, SETTING);
        expect(leftMs).toBeGreaterThan(15_000);
        expect(leftMs).toBeLessThanOrEqual(ttlMs);
      });

      test('takes its keys with it when it is revoked', async () => {
        const { leaseId } = await etcd.grantLease(20_000, SETTING);
        await put('a', 'one', leaseId);
        await put('b', 'two', leaseId);
        await put('c', 'three');
        // A put without the lease takes a key from it.
        await put('b', 'two');
        await etcd.revokeLease(leaseId, SETTING);
        expect(keysOf(await etcd.range(ALL, SETTING))).toEqual(['b', 'c']);
        expect(await etcd.leaseTimeLeft(leaseId, SETTING)).toBeNull();
        expect(await codeOf(etcd.revokeLease(leaseId, SETTING))).toBe('ETCD_LEASE_NOT_FOUND');
        expect(await codeOf(etcd.keepAlive(leaseId, SETTING))).toBe('ETCD_LEASE_NOT_FOUND');
        expect(await codeOf(put('d', '', leaseId))).toBe('ETCD_LEASE_NOT_FOUND');
      });

      test('ends by itself, unless it is kept alive', async () => {
        const kept = await etcd.grantLease(2_000, SETTING);
        const left = await etcd.grantLease(2_000, SETTING);
        await put('kept', '', kept.leaseId);
        await put('left', '', left.leaseId);
        for (let waitedMs = 0; waitedMs < 2 * left.ttlMs + 2_000; waitedMs += 500) {
          await kind.sleep(500);
          expect(await etcd.keepAlive(kept.leaseId, SETTING)).toBe(kept.ttlMs);
        }
        expect(keysOf(await etcd.range(ALL, SETTING))).toEqual(['kept']);
        expect(await codeOf(etcd.keepAlive(left.leaseId, SETTING))).toBe('ETCD_LEASE_NOT_FOUND');
      });
    });

    describe('a watch', () => {
      const seen = (
        range: { key: string; rangeEnd?: string },
        fromRevision: number,
      ): { events: WatchEvent[]; revisions: number[]; ended: string[]; cancel: () => void } => {
        const record = { events: [] as WatchEvent[], revisions: [] as number[] };
        const ended: string[] = [];
        const cancel = etcd.watch(range, fromRevision, {
          onEvents: (events, revision) => {
            record.events.push(...events);
            record.revisions.push(revision);
          },
          onEnded: (reason) => ended.push((reason as TapdiskError).code),
        });
        return { ...record, ended, cancel };
      };
      const tell = ({ type, keyValue }: WatchEvent): string =>
        `${type} ${keyValue.key}${type === 'put' ? `=${keyValue.value.toString()}` : ''}`;

      test('tells what happens from a revision on, past and future', async () => {
        await put('w/a', 'before');
        const { revision } = await put('w/a', 'one');
        await put('x', 'elsewhere');
        const watch = seen({ key: 'w/', rangeEnd: prefixEnd('w/') }, revision);
        await kind.sleep(SETTLE_MS);
        await put('w/b', 'two');
        const last = await remove('w/a');
        await kind.sleep(SETTLE_MS);
        watch.cancel();
        expect(watch.events.map(tell)).toEqual(['put w/a=one', 'put w/b=two', 'delete w/a']);
        expect(watch.events.map(({ keyValue }) => keyValue.modRevision)).toEqual([
          revision,
          last.revision - 1,
          last.revision,
        ]);
        expect(watch.revisions.at(-1)).toBe(last.revision);
        expect(watch.ended).toEqual([]);
      });

      test('tells of a key that its lease took', async () => {
        const { leaseId } = await etcd.grantLease(20_000, SETTING);
        const { revision } = await put('lock', 'mine', leaseId);
        const watch = seen({ key: 'lock' }, revision + 1);
        await kind.sleep(SETTLE_MS);
        await etcd.revokeLease(leaseId, SETTING);
        await kind.sleep(SETTLE_MS);
        watch.cancel();
        expect(watch.events.map(tell)).toEqual(['delete lock']);
      });

      test('tells nothing after it was cancelled', async () => {
        const { revision } = await put('a', 'one');
        const watch = seen({ key: 'a' }, revision);
        watch.cancel();
        await put('a', 'two');
        await kind.sleep(SETTLE_MS);
        expect(watch.events).toEqual([]);
        expect(watch.ended).toEqual([]);
      });

      test('from a revision that is compacted ends', async () => {
        const { revision } = await put('a', 'one');
        await put('a', 'two');
        const last = await put('a', 'three');
        await etcd.compact(last.revision, SETTING);
        const watch = seen({ key: 'a' }, revision);
        await kind.sleep(SETTLE_MS);
        expect(watch.ended).toEqual(['ETCD_COMPACTED']);
        expect(watch.events).toEqual([]);
      });
    });

    test('compaction keeps what is there now, and may be repeated', async () => {
      await put('a', 'one');
      const { revision } = await put('a', 'two');
      await etcd.compact(revision, SETTING);
      await etcd.compact(revision, SETTING);
      await etcd.compact(revision - 1, SETTING);
      expect(valuesOf(await etcd.range(ALL, SETTING))).toEqual(['two']);
    });

    test('members tell of themselves, and there is no alarm', async () => {
      const members = await etcd.members(SETTING);
      expect(members.filter(({ status }) => status?.isLeader)).toHaveLength(1);
      for (const { status, error } of members) {
        expect(error).toBeNull();
        expect(status!.databaseBytes).toBeGreaterThanOrEqual(status!.databaseUsedBytes);
        expect(status!.quotaBytes).toBeGreaterThan(status!.databaseBytes);
      }
      expect(await etcd.alarms(SETTING)).toEqual([]);
    });

    test('nothing is answered after closing', async () => {
      await etcd.close();
      expect(await codeOf(etcd.range({ key: 'a' }, SETTING))).toBe('ETCD_CLOSED');
    });
  });
}
