/** The doubles do what etcd and clocks do. */
import { prefixEnd, type WatchEvent } from '../../lib/etcd/etcd';
import { SimClock, SimHost, SimProcess } from './sim-clock';
import { LATE, REFUSED, REPLY_LOST, REQUEST_LOST, SimEtcd, simEtcd } from './sim-etcd';
import { VirtualTime } from './virtual-time';

const SOON = { deadlineMs: 1000 };
const put = (key: string, value: string, leaseId?: string) => ({
  put: { key, value: Buffer.from(value), ...(leaseId !== undefined && { leaseId }) },
});

describe('virtual time', () => {
  test('lets events happen in their order, each with what follows from it', async () => {
    const time = new VirtualTime();
    const log: string[] = [];
    time.schedule(20, () => log.push(`late ${time.nowMs}`));
    time.schedule(10, () => {
      log.push(`early ${time.nowMs}`);
      void Promise.resolve().then(() => time.schedule(5, () => log.push(`new ${time.nowMs}`)));
    });
    time.schedule(12, () => log.push('never')).cancel();
    await time.advance(20);
    expect(log).toEqual(['early 10', 'new 15', 'late 20']);
    expect(time.nowMs).toBe(20);
  });

  test('a fast clock is ahead, and its timers come early', async () => {
    const time = new VirtualTime();
    const clock = new SimClock(new SimProcess(new SimHost('fast', time, 1.01)));
    const begin = clock.nowMs();
    let firedAtMs = 0;
    clock.setTimer(1010, () => (firedAtMs = time.nowMs));
    await time.advance(2000);
    expect(firedAtMs).toBeCloseTo(1000);
    expect(clock.nowMs() - begin).toBeCloseTo(2020);
  });

  test('a stopped process hears nothing until it goes on, a dead one never', async () => {
    const time = new VirtualTime();
    const process = new SimProcess(new SimHost('host', time));
    const clock = new SimClock(process);
    let fired = 0;
    clock.setTimer(10, () => fired++);
    process.stop();
    await time.advance(100);
    expect(fired).toBe(0);
    process.continue();
    await time.advance(0);
    expect(fired).toBe(1);
    clock.setTimer(10, () => fired++);
    process.kill();
    await time.advance(100);
    expect(fired).toBe(1);
  });
});

describe('transactions', () => {
  test('compare, put and read at one revision', async () => {
    const { etcd } = simEtcd();
    const absent = { key: 'a', target: 'createRevision', equals: 0 } as const;
    const first = await etcd.transaction(
      { compare: [absent], success: [put('a', '1'), put('b', '2'), { range: { key: 'a' } }] },
      SOON,
    );
    expect(first.succeeded).toBe(true);
    const [seen] = first.ranges[0].keyValues;
    expect([seen.createRevision, seen.modRevision]).toEqual([first.revision, first.revision]);
    const second = await etcd.transaction({ compare: [absent], success: [put('a', '3')] }, SOON);
    expect([second.succeeded, second.revision]).toEqual([false, first.revision]);
    const third = await etcd.transaction({ compare: [], success: [put('a', '3')] }, SOON);
    const { keyValues } = await etcd.range({ key: 'a' }, SOON);
    expect(keyValues[0]).toMatchObject({
      createRevision: first.revision,
      modRevision: third.revision,
    });
  });

  test('compare every key of a range', async () => {
    const { etcd } = simEtcd();
    const none = {
      key: 'r/',
      rangeEnd: prefixEnd('r/'),
      target: 'createRevision',
      equals: 0,
    } as const;
    const attempt = () => etcd.transaction({ compare: [none], success: [put('r/1', '')] }, SOON);
    expect((await attempt()).succeeded).toBe(true);
    expect((await attempt()).succeeded).toBe(false);
    await etcd.transaction({ compare: [], success: [{ delete: none }] }, SOON);
    expect((await attempt()).succeeded).toBe(true);
  });

  test('ranges are limited, filtered and counted', async () => {
    const { etcd } = simEtcd();
    for (const key of ['k/3', 'k/1', 'k/2']) {
      await etcd.transaction({ compare: [], success: [put(key, key)] }, SOON);
    }
    const all = { key: 'k/', rangeEnd: prefixEnd('k/') };
    const page = await etcd.range({ ...all, limit: 2 }, SOON);
    expect(page.keyValues.map(({ key }) => key)).toEqual(['k/1', 'k/2']);
    expect([page.more, page.count]).toEqual([true, 3]);
    const { modRevision } = page.keyValues[1];
    const last = await etcd.range({ ...all, minModRevision: modRevision }, SOON);
    expect(last.keyValues.map(({ key }) => key)).toEqual(['k/2']);
    expect((await etcd.range({ ...all, countOnly: true }, SOON)).keyValues).toEqual([]);
  });

  test('that are too large are refused, and a full database takes no put', async () => {
    const { etcd, cluster } = simEtcd();
    const large = { put: { key: 'a', value: Buffer.alloc(1.6e6) } };
    await expect(etcd.transaction({ compare: [], success: [large] }, SOON)).rejects.toMatchObject({
      code: 'ETCD_TOO_LARGE',
    });
    cluster.keys.quotaBytes = 100;
    const some = { put: { key: 'a', value: Buffer.alloc(60) } };
    await etcd.transaction({ compare: [], success: [some] }, SOON);
    await expect(etcd.transaction({ compare: [], success: [some] }, SOON)).rejects.toMatchObject({
      code: 'ETCD_NO_SPACE',
    });
    expect(await etcd.alarms(SOON)).toEqual([{ memberId: '1', alarm: 'NOSPACE' }]);
    await etcd.transaction({ compare: [], success: [{ delete: { key: 'a' } }] }, SOON);
  });
});

describe('leases', () => {
  test('take their keys with them when they end, and not while they are kept alive', async () => {
    const { etcd, time } = simEtcd();
    const { leaseId, ttlMs } = await etcd.grantLease(5000, SOON);
    expect(ttlMs).toBe(5000);
    await etcd.transaction({ compare: [], success: [put('lock', 'me', leaseId)] }, SOON);
    await time.advance(4000);
    expect(await etcd.keepAlive(leaseId, SOON)).toBe(5000);
    await time.advance(4000);
    expect(await etcd.leaseTimeLeft(leaseId, SOON)).toBe(1000);
    expect((await etcd.range({ key: 'lock' }, SOON)).count).toBe(1);
    await time.advance(1000);
    expect((await etcd.range({ key: 'lock' }, SOON)).count).toBe(0);
    expect(await etcd.leaseTimeLeft(leaseId, SOON)).toBeNull();
    await expect(etcd.keepAlive(leaseId, SOON)).rejects.toMatchObject({
      code: 'ETCD_LEASE_NOT_FOUND',
    });
  });

  test('leave a key that was put anew without them', async () => {
    const { etcd } = simEtcd();
    const { leaseId } = await etcd.grantLease(5000, SOON);
    await etcd.transaction({ compare: [], success: [put('lock', 'me', leaseId)] }, SOON);
    await etcd.transaction({ compare: [], success: [put('lock', 'you')] }, SOON);
    await etcd.revokeLease(leaseId, SOON);
    expect((await etcd.range({ key: 'lock' }, SOON)).count).toBe(1);
  });

  test('begin anew after an outage', async () => {
    const { etcd, time, cluster } = simEtcd();
    const { leaseId } = await etcd.grantLease(5000, SOON);
    cluster.fail('hangs');
    const hanging = etcd.keepAlive(leaseId, SOON).catch((error: Error) => error);
    await time.advance(60_000);
    expect(await hanging).toMatchObject({ code: 'ETCD_TIMEOUT', transient: true });
    cluster.recover();
    expect(await etcd.leaseTimeLeft(leaseId, SOON)).toBe(5000);
    cluster.fail('refuses');
    await expect(etcd.keepAlive(leaseId, SOON)).rejects.toMatchObject({
      code: 'ETCD_UNAVAILABLE',
      transient: true,
    });
  });
});

describe('watches', () => {
  test('tell what was and what comes, until they are cancelled', async () => {
    const { etcd, time } = simEtcd();
    const { revision } = await etcd.transaction(
      { compare: [], success: [put('w/1', 'a'), put('v', 'b')] },
      SOON,
    );
    const seen: [string, string, number][] = [];
    const onEvents = (events: readonly WatchEvent[], at: number) => {
      for (const { type, keyValue } of events) seen.push([type, keyValue.key, at]);
    };
    const range = { key: 'w/', rangeEnd: prefixEnd('w/') };
    const cancel = etcd.watch(range, revision, { onEvents, onEnded: () => seen.push(['', '', 0]) });
    await time.advance(0);
    await etcd.transaction({ compare: [], success: [{ delete: { key: 'w/1' } }] }, SOON);
    await time.advance(0);
    expect(seen).toEqual([
      ['put', 'w/1', revision],
      ['delete', 'w/1', revision + 1],
    ]);
    cancel();
    await etcd.transaction({ compare: [], success: [put('w/1', 'c')] }, SOON);
    await time.advance(0);
    expect(seen).toHaveLength(2);
  });

  test('of what was compacted end', async () => {
    const { etcd, time } = simEtcd();
    for (const value of ['1', '2', '3']) {
      await etcd.transaction({ compare: [], success: [put('w', value)] }, SOON);
    }
    await etcd.compact(3, SOON);
    let reason: unknown = null;
    etcd.watch({ key: 'w' }, 2, { onEvents: () => {}, onEnded: (error) => (reason = error) });
    await time.advance(0);
    expect(reason).toMatchObject({ code: 'ETCD_COMPACTED' });
  });
});

describe('faults of single calls', () => {
  const cases = [
    { name: 'a lost request', fate: REQUEST_LOST, code: 'ETCD_TIMEOUT', isDone: false },
    { name: 'a lost reply', fate: REPLY_LOST, code: 'ETCD_TIMEOUT', isDone: true },
    { name: 'a refusal', fate: REFUSED, code: 'ETCD_UNAVAILABLE', isDone: false },
  ];

  test.each(cases)('$name', async ({ fate, code, isDone }) => {
    const { etcd, time } = simEtcd();
    etcd.fault = ({ name }) => (name === 'transaction' ? fate : null);
    const outcome = etcd
      .transaction({ compare: [], success: [put('a', '1')] }, SOON)
      .catch((error: Error) => error);
    await time.advance(1000);
    expect(await outcome).toMatchObject({ code });
    expect((await etcd.range({ key: 'a' }, SOON)).count).toBe(isDone ? 1 : 0);
  });

  test('a request that arrives long after its caller has given up', async () => {
    const { etcd, time, cluster, clock } = simEtcd();
    etcd.fault = () => LATE;
    const outcome = etcd
      .transaction({ compare: [], success: [put('a', '1')] }, SOON)
      .catch((error: Error) => error);
    await time.advance(2000);
    expect(await outcome).toMatchObject({ code: 'ETCD_TIMEOUT' });
    const other = new SimEtcd(cluster, clock);
    expect((await other.range({ key: 'a' }, SOON)).count).toBe(0);
    await time.advance(60_000);
    expect((await other.range({ key: 'a' }, SOON)).count).toBe(1);
  });
});
