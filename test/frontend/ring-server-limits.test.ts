/** What bounds a ring server: a read-only disk, a full pool, pauses, its end, a device that fails. */
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { BLKIF_OP_DISCARD, BLKIF_OP_READ, BLKIF_OP_WRITE } from '../../lib/ring';
import { STATUS_ERROR, STATUS_OKAY } from '../../lib/vbd/request';
import { FakeBlockDevice } from './fake-block-device';
import { RingRig } from './ring-rig';

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a read-only disk refuses what would change it', () => {
  const rig = new RingRig(new FakeBlockDevice({ readOnly: true }));
  rig.put(0, { operation: BLKIF_OP_WRITE });
  rig.put(1, { operation: BLKIF_OP_READ });
  rig.put(2, { operation: BLKIF_OP_DISCARD, nrSectors: 8 }, []);
  rig.go();
  const byId = rig.answers().sort((a, b) => a.id - b.id);
  expect(byId.map(({ status }) => status)).toEqual([STATUS_ERROR, STATUS_OKAY, STATUS_ERROR]);
});

test('a disk that grew takes requests for its new end', () => {
  const disk = new FakeBlockDevice({ sectors: 64 });
  const rig = new RingRig(disk);
  rig.put(0, { sector: 64 });
  rig.go();
  disk.sectors = 128;
  rig.put(1, { sector: 64 });
  rig.go();
  expect(rig.answers().map(({ status }) => status)).toEqual([STATUS_ERROR, STATUS_OKAY]);
});

test('an empty pool leaves requests on the ring until one comes back', () => {
  const disk = new FakeBlockDevice({ manual: true, requestsMax: 3 });
  const rig = new RingRig(disk);
  for (let id = 0; id < 10; id++) rig.put(id);
  rig.go();
  expect(disk.waiting).toHaveLength(3);
  disk.complete(disk.waiting[0]);
  expect(disk.waiting).toHaveLength(3);
  while (disk.waiting.length > 0) disk.completeAll();
  expect(rig.answers()).toHaveLength(10);
  expect(rig.counters.poolEmpty).toBeGreaterThan(0);
});

test('a pool emptied by others is looked at again by itself', async () => {
  const disk = new FakeBlockDevice({ requestsMax: 2 });
  const taken = [disk.acquire(), disk.acquire()];
  const rig = new RingRig(disk);
  rig.put(0);
  rig.go();
  for (const request of taken) if (request !== null) disk.release(request);
  while (rig.counters.responses === 0) await nextTurn();
  expect(rig.answers()).toHaveLength(1);
});

test('a paused ring is left alone, though answers still go out', async () => {
  const disk = new FakeBlockDevice({ manual: true });
  const rig = new RingRig(disk);
  rig.put(0);
  rig.go();
  rig.server.pause();
  rig.put(1);
  rig.go();
  expect(disk.waiting).toHaveLength(1);
  let drained = false;
  const whenDrained = rig.server.drained(10_000).then(() => (drained = true));
  await nextTurn();
  expect(drained).toBe(false);
  disk.completeAll();
  await whenDrained;
  expect(rig.answers()).toHaveLength(1);
  rig.server.resume();
  expect(disk.waiting).toHaveLength(1);
  disk.completeAll();
  expect(rig.answers()).toHaveLength(1);
});

test('close waits for what is in flight, and says so when that takes too long', async () => {
  const disk = new FakeBlockDevice({ manual: true });
  const rig = new RingRig(disk);
  rig.put(0);
  rig.go();
  await expect(rig.server.close(1)).rejects.toMatchObject({ code: 'RING_DRAIN_TIMEOUT' });
  disk.completeAll();
  await rig.server.close(1000);
  expect(rig.answers()).toHaveLength(1);
  rig.put(1);
  rig.go();
  expect(disk.waiting).toHaveLength(0);
});

test('an abandoned ring is not written to', async () => {
  const disk = new FakeBlockDevice({ manual: true });
  const rig = new RingRig(disk);
  rig.put(0);
  rig.go();
  rig.server.abandon();
  const before = Buffer.from(rig.memory.subarray(0, 4096));
  disk.completeAll();
  await rig.server.drained(1000);
  expect(rig.memory.subarray(0, 4096).equals(before)).toBe(true);
});

test.each([
  ['kick', 'RING_KICK_FAILED'],
  ['poll', 'RING_POLL_FAILED'],
])('a device that refuses to %s stops the ring', (call, code) => {
  const disk = new FakeBlockDevice();
  const rig = new RingRig(disk, BLKTAP_GEOMETRY, {
    [call]: () => {
      throw new Error('ENODEV: no such device');
    },
  });
  rig.put(0);
  rig.go();
  expect(rig.stops.map((stop) => stop.code)).toEqual([code]);
  expect(disk.leaked).toBe(0);
});

test('the ring is polled again after answers, since some kernels publish only then', () => {
  const disk = new FakeBlockDevice({ manual: true });
  const rig = new RingRig(disk);
  rig.put(0);
  rig.go();
  let hidden = 1;
  rig.onPoll = () => {
    if (hidden > 0 && rig.kicks > 0) {
      hidden--;
      rig.put(1);
      rig.front.push();
    }
  };
  disk.completeAll();
  expect(disk.waiting).toHaveLength(1);
});
