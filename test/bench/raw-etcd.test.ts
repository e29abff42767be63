/** The measure of raw etcd counts what was done, and nothing that failed. */
import { REFUSED, simEtcdInRealTime } from '../simulation/sim-etcd';
import { measureRawEtcd } from './raw-etcd';

const load = { valueBytes: 100, keys: 8, operations: 50, depth: 4 };

test('puts and gets are done as often as was asked for', async () => {
  const { etcd } = simEtcdInRealTime();
  const put = await measureRawEtcd(etcd, { ...load, kind: 'put' });
  expect(put.perSecond).toBeGreaterThan(0);
  expect(put.latencyMsP99).toBeGreaterThanOrEqual(put.latencyMsP50);
  const { keyValues } = await etcd.range(
    { key: 'bench/', rangeEnd: 'bench0' },
    { deadlineMs: 1_000 },
  );
  expect(keyValues.map(({ value }) => value.length)).toEqual(Array(8).fill(100));
  const get = await measureRawEtcd(etcd, { ...load, kind: 'get' });
  // Only what it made first was written.
  expect(get.revision).toBe(put.revision + 8);
});

test('a failed call fails it', async () => {
  const { etcd } = simEtcdInRealTime();
  etcd.fault = () => REFUSED;
  await expect(measureRawEtcd(etcd, { ...load, kind: 'put' })).rejects.toMatchObject({
    code: 'ETCD_UNAVAILABLE',
  });
});
