/**
 * A network that swallows packets: TCP's own repetitions come ever more rarely, and must not be
 * what the end of an outage waits for. In a network namespace of the test's own; needs root.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootClock } from '../../lib/etcd/boot-clock';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { retryTransient } from '../../lib/etcd/retry';
import { testWhere } from '../where';
import { RealEtcd } from './real-etcd';
import { whereRealEtcd } from './require-real';

jest.setTimeout(120_000);

const NAMESPACE = `tapdisk-ts-${process.pid}`;
const [HERE, THERE] = ['10.99.47.1', '10.99.47.2'];
const LINK = `tdts${process.pid % 100_000}`;

const ip = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: 'pipe' });
};
const inside = (...words: string[]): void => ip('netns', 'exec', NAMESPACE, 'ip', ...words);

function whyNot(): string | null {
  if (process.getuid!() !== 0) return 'it needs root';
  const { status } = spawnSync('unshare', ['--net', 'true']);
  return status === 0 ? null : 'network namespaces cannot be made here';
}

whereRealEtcd('a network that swallows packets', () => {
  const absence = whyNot();
  beforeAll(() => {
    if (absence !== null) return;
    ip('netns', 'add', NAMESPACE);
    ip('link', 'add', LINK, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NAMESPACE);
    ip('addr', 'add', `${HERE}/24`, 'dev', LINK);
    ip('link', 'set', LINK, 'up');
    inside('addr', 'add', `${THERE}/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
    inside('link', 'set', 'lo', 'up');
  });
  afterAll(() => {
    if (absence === null) ip('netns', 'del', NAMESPACE);
  });

  const withNamespaces = testWhere(absence, 'a partition');
  withNamespaces(
    'fails calls in their time, and is used within a second after it is mended',
    async () => {
      const cluster = await RealEtcd.start({
        members: 3,
        host: THERE,
        commandPrefix: ['ip', 'netns', 'exec', NAMESPACE],
      });
      const clock = new BootClock();
      const etcd = await openEtcd({ endpoints: cluster.endpoints, prefix: '/partition/' }, {});
      const read = (setting: { deadlineMs: number }) => etcd.range({ key: 'a' }, setting);
      await read({ deadlineMs: 2_000 });

      // Requests arrive there; no answer comes back.
      inside('route', 'add', 'blackhole', `${HERE}/32`);
      for (const endMs = clock.nowMs() + 20_000; clock.nowMs() < endMs; await sleep(100)) {
        const begin = clock.nowMs();
        await expect(read({ deadlineMs: 500 })).rejects.toMatchObject({ transient: true });
        expect(clock.nowMs() - begin).toBeLessThan(1_000);
      }
      inside('route', 'del', 'blackhole', `${HERE}/32`);
      const mendedMs = clock.nowMs();
      await retryTransient(read, { clock, budgetMs: 30_000, attemptMs: 500 });
      const tookMs = clock.nowMs() - mendedMs;
      console.log(`mended after 20 s: ${Math.round(tookMs)} ms until the next answer`);
      expect(tookMs).toBeLessThan(1_500);
      await etcd.close();
      await cluster.stop();
    },
  );
});
