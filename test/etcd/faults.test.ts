/** A real cluster whose members die, hang, lose their quorum, and come back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TapdiskError } from '../../lib/errors';
import { BootClock } from '../../lib/etcd/boot-clock';
import type { Etcd, Lease } from '../../lib/etcd/etcd';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { retryTransient } from '../../lib/etcd/retry';
import { RealEtcd, type RealMember } from './real-etcd';
import { whereRealEtcd } from './require-real';

jest.setTimeout(120_000);

const ATTEMPT_MS = 500;
const SETTING = { deadlineMs: ATTEMPT_MS };
/** What this busy machine may add to any time. */
const SLACK_MS = 500;

const clock = new BootClock();
let cluster: RealEtcd;
let etcd: Etcd;

const openAt = (member: RealMember, prefix = '/faults/'): Promise<Etcd> =>
  openEtcd(
    { endpoints: cluster.endpoints, prefix },
    {},
    {
      firstMember: cluster.members.indexOf(member),
    },
  );
const put = (key: string, setting = SETTING) =>
  etcd.transaction({ compare: [], success: [{ put: { key, value: Buffer.from(key) } }] }, setting);

interface Outcome {
  readonly code: string;
  readonly tookMs: number;
}

async function outcomeOf(call: () => Promise<unknown>): Promise<Outcome> {
  const begin = clock.nowMs();
  const code = await call().then(
    () => 'done',
    (error: unknown) => {
      if (error instanceof TapdiskError) return error.code;
      throw error;
    },
  );
  return { code, tookMs: clock.nowMs() - begin };
}

/** Calls for as long as they fail; resolves to the time until one succeeded. */
async function untilDone(call: () => Promise<unknown>): Promise<number> {
  const begin = clock.nowMs();
  await retryTransient(call, { clock, budgetMs: 30_000, attemptMs: ATTEMPT_MS });
  return clock.nowMs() - begin;
}

whereRealEtcd('a cluster of three', () => {
  beforeAll(async () => {
    cluster = await RealEtcd.start({ members: 3 });
  });
  afterEach(async () => {
    await etcd.close();
    for (const member of cluster.members) {
      member.thaw();
      if (member.pid === undefined) member.start();
    }
    await cluster.ready();
    await cluster.leader();
  });
  afterAll(() => cluster.stop());

  test('a member that is killed costs one call, and the next succeeds elsewhere', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    await put('a');
    await follower.kill();
    const first = await outcomeOf(() => put('b'));
    expect(['done', 'ETCD_UNAVAILABLE']).toContain(first.code);
    expect(await outcomeOf(() => put('c'))).toMatchObject({ code: 'done' });
  });

  test('a call in flight on a member that is killed fails at once', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    await put('a');
    follower.freeze();
    const call = outcomeOf(() => put('b', { deadlineMs: 20_000 }));
    await sleep(100);
    await follower.kill();
    const { code, tookMs } = await call;
    expect(code).toBe('ETCD_UNAVAILABLE');
    expect(tookMs).toBeLessThan(1_000 + SLACK_MS);
  });

  test('a frozen member fails a call in its time, and the next goes elsewhere', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    await put('a');
    follower.freeze();
    const { code, tookMs } = await outcomeOf(() => put('b'));
    expect(code).toBe('ETCD_TIMEOUT');
    expect(tookMs).toBeGreaterThanOrEqual(ATTEMPT_MS);
    expect(tookMs).toBeLessThan(ATTEMPT_MS + SLACK_MS);
    expect(await outcomeOf(() => put('c'))).toMatchObject({ code: 'done' });
    // A new process that happens to begin there fares alike.
    const other = await openAt(follower);
    expect(await outcomeOf(() => other.range({ key: 'c' }, SETTING))).toMatchObject({
      code: 'ETCD_TIMEOUT',
    });
    expect((await other.range({ key: 'c' }, SETTING)).count).toBe(1);
    await other.close();
  });

  test('a lease is kept alive past a frozen follower', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    const lease: Lease = await etcd.grantLease(4_000, SETTING);
    await etcd.keepAlive(lease.leaseId, SETTING);
    follower.freeze();
    for (let begin = clock.nowMs(); clock.nowMs() < begin + 6_000; await sleep(1_000)) {
      await untilDone(() => etcd.keepAlive(lease.leaseId, SETTING));
    }
    expect(await etcd.leaseTimeLeft(lease.leaseId, SETTING)).toBeGreaterThan(0);
  });

  test.each(['kill', 'freeze'] as const)(
    '%s the leader: another serves within 3 s',
    async (how) => {
      const leader = await cluster.leader();
      etcd = await openAt(leader);
      await put('a');
      await leader[how]();
      const tookMs = await untilDone(() => put('b'));
      console.log(`${how} the leader: ${Math.round(tookMs)} ms until the next commit`);
      expect(tookMs).toBeLessThan(3_000 + SLACK_MS);
    },
  );

  test.each(['kill', 'freeze'] as const)(
    '%s two members: calls fail in time, and succeed within 2 s of one’s return',
    async (how) => {
      const dead = (await cluster.followers())[0];
      const leader = await cluster.leader();
      etcd = await openAt(leader);
      await put('a');
      for (const member of [dead, leader]) await member[how]();
      const codes = new Set<string>();
      for (const end = clock.nowMs() + 8_000; clock.nowMs() < end; await sleep(100)) {
        const { code, tookMs } = await outcomeOf(() => put('b'));
        codes.add(code);
        expect(tookMs).toBeLessThan(ATTEMPT_MS + SLACK_MS);
      }
      expect([...codes].filter((code) => !/^ETCD_(UNAVAILABLE|TIMEOUT)$/.test(code))).toEqual([]);
      if (how === 'kill') dead.start();
      else dead.thaw();
      // The quorum is back when the two have elected a leader, which is not the client's doing.
      const elected = cluster.ready().then(() => clock.nowMs());
      const succeeded = untilDone(() => put('c')).then(() => clock.nowMs());
      const afterMs = (await succeeded) - (await elected);
      console.log(`${how} two: served ${Math.round(afterMs)} ms after etcdctl was`);
      expect(afterMs).toBeLessThan(2_000);
    },
  );

  test('a watch on a member that dies ends, and one on the next sees what it missed', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    const { revision } = await put('w');
    const ended: string[] = [];
    etcd.watch({ key: 'w' }, revision + 1, {
      onEvents: () => undefined,
      onEnded: (error) => ended.push((error as TapdiskError).code),
    });
    await sleep(300);
    await follower.kill();
    await sleep(500);
    expect(ended).toEqual(['ETCD_UNAVAILABLE']);
    await untilDone(() => put('w'));
    const seen: number[] = [];
    const cancel = etcd.watch({ key: 'w' }, revision + 1, {
      onEvents: (events) => seen.push(...events.map(({ keyValue }) => keyValue.modRevision)),
      onEnded: () => undefined,
    });
    await sleep(500);
    cancel();
    expect(seen).toEqual([revision + 1]);
  });

  test('a watch on a frozen member ends, too', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    const { revision } = await put('w');
    const ended = new Promise<Error>((resolve) => {
      etcd.watch({ key: 'w' }, revision + 1, { onEvents: () => undefined, onEnded: resolve });
    });
    await sleep(300);
    follower.freeze();
    expect(await ended).toMatchObject({ code: 'ETCD_UNAVAILABLE', transient: true });
  });

  test('members that do not answer are told of, with the others', async () => {
    const [killed, frozen] = await cluster.followers();
    etcd = await openAt(killed);
    await killed.kill();
    frozen.freeze();
    const members = await etcd.members(SETTING);
    const of = (member: RealMember) =>
      members.find(({ endpoint }) => endpoint === member.clientUrl)!;
    expect(of(killed).error).toMatch(/ECONNREFUSED/);
    expect(of(frozen).error).toMatch(/did not answer/);
    expect(members.filter(({ status }) => status !== null)).toHaveLength(1);
  });

  test('closing ends what is under way', async () => {
    const [follower] = await cluster.followers();
    etcd = await openAt(follower);
    follower.freeze();
    const calls = Array.from({ length: 10 }, () =>
      outcomeOf(() => put('a', { deadlineMs: 60_000 })),
    );
    await sleep(100);
    await etcd.close();
    for (const call of calls) expect((await call).code).toBe('ETCD_CLOSED');
  });
});
