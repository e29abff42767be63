/** An owner stops by its own clock before its lease can end, goes on where it may, and knows when not. */
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import { FENCE_LOST, FENCE_OPEN, FENCE_WAITING, type FenceState } from '../../../lib/fence';
import { CHUNK, commit, loadEntries, READ, refusal, sync, WRITE } from '../pool-under-test';
import { REFUSED } from '../../simulation/sim-etcd';
import {
  FENCE_MS,
  LEASE_TTL_MS,
  TAKE_OVER_WAIT_MS,
  VirtualHosts,
  type Seat,
} from './virtual-hosts';

describe('the fence of an attachment', () => {
  let hosts: VirtualHosts;
  let a: Seat;
  let b: Seat;
  let layer: number;
  let uuid: string;

  beforeEach(async () => {
    ({ hosts, a, b, uuid, layer } = await VirtualHosts.withVolume(CHUNK));
  });

  const attach = (seat: Seat, mode = WRITE): Promise<EtcdAttachment> =>
    hosts.resolve(seat.view.attach('v', mode));

  it.each([WRITE, READ])('stays open as long as etcd confirms, %j', async (mode) => {
    const { fence } = await attach(a, mode);
    for (let second = 0; second < 120; second++) {
      await hosts.time.advance(1000);
      expect(fence.state()).toBe(FENCE_OPEN);
    }
  });

  it.each([WRITE, READ])(
    'closes by its own clock, and opens when etcd is back, %j',
    async (mode) => {
      const { fence } = await attach(a, mode);
      await hosts.time.advance(20_000);
      const changes: FenceState[] = [];
      fence.onChange((state) => changes.push(state));
      a.cutOff();
      const cutAtMs = hosts.time.nowMs;
      await hosts.time.runUntil(() => fence.state() === FENCE_WAITING, 60_000);
      const openForMs = hosts.time.nowMs - cutAtMs;
      expect(openForMs).toBeLessThanOrEqual(FENCE_MS + 1100);
      await hosts.time.advance(LEASE_TTL_MS / 10);
      a.reconnect();
      const backAtMs = hosts.time.nowMs;
      expect(await hosts.time.runUntil(() => fence.state() === FENCE_OPEN, 60_000)).toBe(true);
      expect(hosts.time.nowMs - backAtMs).toBeLessThanOrEqual(2000);
      expect(changes).toEqual([FENCE_OPEN]);
    },
  );

  it('is closed before the lease ends, wherever within a round etcd goes away', async () => {
    const { fence } = await attach(a);
    for (let i = 0; i < 25; i++) {
      await hosts.time.advance(777);
      expect(fence.state()).toBe(FENCE_OPEN);
      a.cutOff();
      expect(hosts.at(`attach/${uuid}`)).toBeDefined();
      await hosts.time.runUntil(() => fence.state() !== FENCE_OPEN, 60_000);
      expect(hosts.at(`attach/${uuid}`)).toBeDefined();
      a.reconnect();
      await hosts.time.runUntil(() => fence.state() === FENCE_OPEN, 60_000);
    }
  });

  it('counts from when a keep-alive was sent, not from when its answer came', async () => {
    const { fence } = await attach(a);
    await hosts.time.advance(5000);
    // The answer travels for almost a second, and is the last one.
    let sentAtMs = 0;
    a.etcd.fault = ({ name }) => {
      if (sentAtMs !== 0) return { requestMs: null, replyMs: null };
      if (name === 'keepAlive') sentAtMs = hosts.time.nowMs;
      return { requestMs: 0, replyMs: 900 };
    };
    await hosts.time.runUntil(() => sentAtMs !== 0, 10_000);
    await hosts.time.advance(sentAtMs + FENCE_MS - 1 - hosts.time.nowMs);
    expect(fence.state()).toBe(FENCE_OPEN);
    await hosts.time.advance(1);
    expect(fence.state()).toBe(FENCE_WAITING);
  });

  it('of a process that was stopped is closed when it goes on, before it hears of anything', async () => {
    const attachment = await attach(a);
    a.process.stop();
    await hosts.time.advance(FENCE_MS + 1);
    expect(attachment.fence.state()).toBe(FENCE_WAITING);
    a.process.continue();
    expect(attachment.fence.state()).toBe(FENCE_WAITING);
    await hosts.time.advance(2000);
    expect(attachment.fence.state()).toBe(FENCE_OPEN);
  });

  it.each([1, 8, 600])(
    'opens anew after %d leases without etcd, if nobody had the volume meanwhile',
    async (leases) => {
      const attachment = await attach(a);
      expect(await hosts.resolve(commit(attachment, [{ chunk: 1, layer }]))).toBe(0);
      const guard = attachment.guard();
      a.cutOff();
      const late = commit(attachment, [{ chunk: 2, layer }]);
      await hosts.time.advance(leases * LEASE_TTL_MS + 1000);
      expect(hosts.at(`attach/${uuid}`)).toBeUndefined();
      expect(attachment.fence.state()).toBe(FENCE_WAITING);
      a.reconnect();
      await hosts.time.advance(2000);
      expect(attachment.fence.state()).toBe(FENCE_OPEN);
      expect(attachment.guard()).not.toEqual(guard);
      expect(await hosts.resolve(late)).toBe(0);
      expect(await hosts.resolve(sync(attachment))).toBe(0);
      expect(attachment.record.epoch).toBe(1);
      expect(await hosts.resolve(loadEntries(attachment))).toEqual([
        [1, layer],
        [2, layer],
      ]);
      await hosts.resolve(attachment.release());
      expect((await attach(b)).uncleanBefore).toBe(false);
    },
  );

  it('is lost to whoever attached after the lease had ended; nothing is written by the old one', async () => {
    const old = await attach(a);
    const changes: FenceState[] = [];
    old.fence.onChange((state) => changes.push(state));
    expect(await hosts.resolve(commit(old, [{ chunk: 1, layer }]))).toBe(0);
    a.process.stop();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    const taken = await attach(b);
    expect(taken.uncleanBefore).toBe(true);
    expect(taken.record.epoch).toBe(2);
    a.process.continue();
    const late = commit(old, [{ chunk: 2, layer }]);
    const lateLayer = old.startLayer();
    expect(await hosts.resolve(late)).not.toBe(0);
    await expect(hosts.resolve(lateLayer)).rejects.toMatchObject({
      code: 'VOLUME_LOST',
      message: expect.stringContaining('on host b') as string,
    });
    expect(old.fence.state()).toBe(FENCE_LOST);
    expect(changes).toEqual([FENCE_LOST]);
    expect(await hosts.resolve(sync(old))).not.toBe(0);
    await hosts.resolve(old.release());
    expect(await hosts.resolve(loadEntries(taken))).toEqual([[1, layer]]);
    expect(taken.fence.state()).toBe(FENCE_OPEN);
    expect((await hosts.resolve(b.view.read('v'))).frozenLayers).toEqual([]);
  });

  it('is lost where the other had it and released it', async () => {
    const old = await attach(a);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    const other = await attach(b);
    await hosts.resolve(other.release());
    a.reconnect();
    await hosts.time.advance(2000);
    expect(old.fence.state()).toBe(FENCE_LOST);
    expect(await hosts.resolve(b.view.owner('v'))).toBeNull();
  });

  it('is lost where the volume was deleted meanwhile', async () => {
    const old = await attach(a);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    await hosts.resolve(b.view.delete('v'));
    a.reconnect();
    await hosts.time.advance(2000);
    expect(old.fence.state()).toBe(FENCE_LOST);
    await hosts.resolve(old.release());
    expect(hosts.at(`state/${uuid}`)).toBeUndefined();
  });

  it('waits for readers that came meanwhile, and goes on after them', async () => {
    const old = await attach(a);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    const reader = await attach(b, READ);
    expect(reader.uncleanBefore).toBe(true);
    a.reconnect();
    await hosts.time.advance(30_000);
    expect(old.fence.state()).toBe(FENCE_WAITING);
    await hosts.resolve(reader.release());
    await hosts.time.advance(2000);
    expect(old.fence.state()).toBe(FENCE_OPEN);
  });

  it('of a reader is lost to a writer that came meanwhile', async () => {
    const reader = await attach(a, READ);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    const writer = await attach(b);
    a.reconnect();
    await hosts.time.advance(2000);
    expect(reader.fence.state()).toBe(FENCE_LOST);
    await hosts.resolve(reader.release());
    expect(writer.fence.state()).toBe(FENCE_OPEN);
  });

  it('closes at once when a comparison with its guard failed, until it is known why', async () => {
    const attachment = await attach(a);
    const stale = attachment.guard();
    attachment.doubt(stale);
    expect(attachment.fence.state()).toBe(FENCE_WAITING);
    await hosts.time.advance(1);
    expect(attachment.fence.state()).toBe(FENCE_OPEN);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    a.reconnect();
    await hosts.time.advance(2000);
    attachment.doubt(stale);
    expect(attachment.fence.state()).toBe(FENCE_OPEN);
  });

  it('lasts through outages of all of etcd, however they end', async () => {
    const attachment = await attach(a);
    for (const outage of ['refuses', 'hangs', 'refuses'] as const) {
      hosts.cluster.fail(outage);
      const late = commit(attachment, [{ chunk: 7, layer }]);
      await hosts.time.advance(60_000);
      expect(attachment.fence.state()).toBe(FENCE_WAITING);
      hosts.cluster.recover();
      const backAtMs = hosts.time.nowMs;
      await hosts.time.runUntil(() => attachment.fence.state() === FENCE_OPEN, 60_000);
      expect(hosts.time.nowMs - backAtMs).toBeLessThanOrEqual(2000);
      expect(await hosts.resolve(late)).toBe(0);
    }
  });

  it('a release that etcd does not hear of fails in its time, and the lease ends by itself', async () => {
    const attachment = await attach(a);
    a.etcd.fault = () => REFUSED;
    const late = commit(attachment, [{ chunk: 2, layer }]);
    await expect(hosts.resolve(attachment.release())).rejects.toEqual(refusal('MAP_NOT_COMMITTED'));
    expect(await hosts.resolve(late)).not.toBe(0);
    await hosts.time.advance(LEASE_TTL_MS);
    const begunAtMs = hosts.time.nowMs;
    const next = await attach(b);
    expect(next.uncleanBefore).toBe(true);
    expect(hosts.time.nowMs - begunAtMs).toBeGreaterThanOrEqual(TAKE_OVER_WAIT_MS);
  });

  it('calls fail in their time where etcd is away, with a code of etcd', async () => {
    const code = expect.stringMatching(/^ETCD_(UNAVAILABLE|TIMEOUT)$/) as string;
    a.cutOff();
    const calls: (() => Promise<unknown>)[] = [
      () => a.view.create({ name: 'w', sizeBytes: 512, chunkBytes: CHUNK }),
      () => a.view.list(),
      () => a.view.names(),
      () => a.view.read('v'),
      () => a.view.owner('v'),
      () => a.view.attach('v', WRITE),
      () => a.view.standBy('v'),
      () => a.view.standbys('v'),
      () => a.view.countChunks('v'),
      () => a.view.delete('v'),
      () => a.view.pendingDeletions(),
      () => a.view.finishDeletion(uuid),
      () => a.view.view(),
    ];
    for (const call of calls) {
      await expect(hosts.resolve(call(), 20_000)).rejects.toMatchObject({ code, transient: true });
    }
  });
});
