/** An etcd store and the right to its volume: a write that is refused closes the fence at once. */
import type { EtcdAttachment } from '../../lib/coordination/etcd/etcd-attachment';
import { FENCE_LOST, FENCE_OPEN } from '../../lib/fence';
import { rightOf } from '../../lib/pool/open-etcd-pool';
import { openEtcdStore } from '../../lib/store/etcd/etcd-store';
import { VirtualHosts } from '../coordination/etcd/virtual-hosts';
import { WRITE } from '../coordination/pool-under-test';
import { pattern, StoreDriver } from '../store/store-driver';

const CHUNK_BYTES = 64 * 1024;
const EIO = 5;

test('the owner of a stolen volume knows by its first write, and not by its next round', async () => {
  const hosts = await VirtualHosts.make();
  const settings = { storeFences: true };
  const [a, b] = [hosts.seat('a', settings), hosts.seat('b', settings)];
  const volume = { name: 'v', sizeBytes: 16 * CHUNK_BYTES, chunkBytes: CHUNK_BYTES };
  const { layer } = await hosts.resolve(a.view.create(volume));
  const owner: EtcdAttachment = await hosts.resolve(a.view.attach('v', WRITE));
  const { etcd, clock } = a;
  const options = { etcd, clock, chunkBytes: CHUNK_BYTES, ...rightOf(owner) };
  const driver = new StoreDriver(await openEtcdStore(options));
  expect(await hosts.resolve(driver.write({ layer, chunk: 0 }, pattern(512, 1)))).toBe(0);
  // Right after a round, so that the next one is far.
  await hosts.time.advance(1);
  void b.view.attach('v', { ...WRITE, steal: true });
  const key = `attach/${owner.record.uuid}`;
  const before = hosts.at(key)!.modRevision;
  await hosts.time.runUntil(() => hosts.at(key)!.modRevision !== before, 10_000);
  expect(owner.fence.state()).toBe(FENCE_OPEN);
  const stolenAtMs = hosts.time.nowMs;
  expect(await hosts.resolve(driver.write({ layer, chunk: 0 }, pattern(512, 2)))).toBe(EIO);
  expect(owner.fence.state()).toBe(FENCE_LOST);
  expect(hosts.time.nowMs - stolenAtMs).toBeLessThan(200);
});

test('a volume that nobody can take gives its store neither guard nor fence', () => {
  expect(rightOf(undefined)).toEqual({});
});
