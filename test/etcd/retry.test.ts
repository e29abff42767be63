/** What is tried again, how often, and when it is given up: on virtual time. */
import { TapdiskError } from '../../lib/errors';
import type { CallSetting } from '../../lib/etcd/etcd';
import { retryTransient } from '../../lib/etcd/retry';
import { SimClock, SimHost, SimProcess } from '../simulation/sim-clock';
import { VirtualTime } from '../simulation/virtual-time';

const transient = new TapdiskError('ETCD_TIMEOUT', 'no answer', { transient: true });
const final = new TapdiskError('ETCD_REFUSED', 'no');

let time: VirtualTime;
let clock: SimClock;
beforeEach(() => {
  time = new VirtualTime();
  clock = new SimClock(new SimProcess(new SimHost('host', time)));
});

/** Fails so often, then succeeds; remembers when it was tried, and with what deadline. */
function failing(times: number, error: Error = transient) {
  const tries: { atMs: number; deadlineMs: number }[] = [];
  const begin = clock.nowMs();
  const attempt = async ({ deadlineMs }: CallSetting): Promise<string> => {
    tries.push({ atMs: Math.round(clock.nowMs() - begin), deadlineMs });
    if (tries.length <= times) throw error;
    return 'done';
  };
  return { tries, attempt };
}

const setting = { budgetMs: 1_000, attemptMs: 300, random: () => 1 };

test('the second attempt follows at once, later ones after ever longer pauses', async () => {
  const { tries, attempt } = failing(5);
  const result = retryTransient(attempt, { clock, ...setting, budgetMs: 10_000 });
  await time.advance(10_000);
  expect(await result).toBe('done');
  expect(tries.map(({ atMs }) => atMs)).toEqual([0, 0, 50, 150, 350, 750]);
});

test('pauses have an upper limit, and half of each is chance', async () => {
  const { tries, attempt } = failing(30);
  const result = retryTransient(attempt, {
    clock,
    budgetMs: 60_000,
    attemptMs: 300,
    random: () => 0,
  });
  await time.advance(60_000);
  await result;
  const [beforeLast, last] = tries.slice(-2);
  expect(last.atMs - beforeLast.atMs).toBe(200);
});

test('the budget ends it, with the last error', async () => {
  const { tries, attempt } = failing(Infinity);
  const result = retryTransient(attempt, { clock, ...setting });
  const caught = expect(result).rejects.toBe(transient);
  await time.advance(2_000);
  await caught;
  expect(tries.at(-1)!.atMs).toBeLessThan(1_000);
  // The last one has what is left.
  for (const { atMs, deadlineMs } of tries) expect(deadlineMs).toBe(Math.min(300, 1_000 - atMs));
});

test('what fails for good is not tried again', async () => {
  for (const error of [final, new Error('a fault')]) {
    const { tries, attempt } = failing(1, error);
    await expect(retryTransient(attempt, { clock, ...setting })).rejects.toBe(error);
    expect(tries).toHaveLength(1);
  }
});

test('it can be given up, in a pause and before', async () => {
  const controller = new AbortController();
  const { tries, attempt } = failing(Infinity);
  const result = retryTransient(attempt, {
    clock,
    ...setting,
    budgetMs: 60_000,
    aborted: controller.signal,
  });
  const caught = expect(result).rejects.toMatchObject({ code: 'ETCD_ABORTED' });
  await time.advance(100);
  const before = tries.length;
  controller.abort();
  await caught;
  expect(tries).toHaveLength(before);
  await expect(
    retryTransient(attempt, { clock, ...setting, aborted: controller.signal }),
  ).rejects.toMatchObject({ code: 'ETCD_ABORTED' });
  expect(tries).toHaveLength(before);
});
