/** Standbys: by release, by the owner's death, by hand-over; and what goes wrong with them. */
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import type { EtcdStandby } from '../../../lib/coordination/etcd/etcd-standby';
import { FENCE_LOST, FENCE_OPEN } from '../../../lib/fence';
import { LATE, REPLY_LOST, REQUEST_LOST } from '../../simulation/sim-etcd';
import { CHUNK, commit, loadEntries, refusal, WRITE } from '../pool-under-test';
import { LEASE_TTL_MS, TAKE_OVER_WAIT_MS, VirtualHosts, type Seat } from './virtual-hosts';

describe('a standby', () => {
  let hosts: VirtualHosts;
  let a: Seat;
  let b: Seat;
  let c: Seat;
  let layer: number;
  let uuid: string;
  let owner: EtcdAttachment;

  beforeEach(async () => {
    ({ hosts, a, b, uuid, layer } = await VirtualHosts.withVolume(CHUNK));
    c = hosts.seat('c');
    owner = await hosts.resolve(a.view.attach('v', WRITE));
    expect(await hosts.resolve(commit(owner, [{ chunk: 1, layer }]))).toBe(0);
  });

  const standBy = (seat: Seat): Promise<EtcdStandby> => hosts.resolve(seat.view.standBy('v'));
  const attachedBy = (standby: EtcdStandby): Promise<EtcdAttachment> =>
    hosts.resolve(standby.attached) as Promise<EtcdAttachment>;

  it('is listed once it is ready, and not any more when it is cancelled or dead', async () => {
    const first = await standBy(b);
    const second = await standBy(c);
    const names = [`b:${b.process.pid}`, `c:${c.process.pid}`];
    expect([first.name, second.name]).toEqual(names);
    expect(await hosts.resolve(a.view.standbys('v'))).toEqual(names);
    await hosts.resolve(first.cancel());
    expect(await hosts.resolve(a.view.standbys('v'))).toEqual([names[1]]);
    c.process.kill();
    await hosts.time.advance(LEASE_TTL_MS + 1000);
    expect(await hosts.resolve(a.view.standbys('v'))).toEqual([]);
    await expect(first.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
  });

  it('has the volume as soon as it is released, clean, with what was committed last', async () => {
    const standby = await standBy(b);
    await hosts.time.advance(20_000);
    expect(await hosts.resolve(commit(owner, [{ chunk: 2500, layer }]))).toBe(0);
    const before = hosts.time.nowMs;
    await hosts.resolve(owner.release());
    const next = await attachedBy(standby);
    expect(hosts.time.nowMs - before).toBeLessThan(10);
    expect(next.uncleanBefore).toBe(false);
    expect(next.record.epoch).toBe(2);
    expect(await hosts.resolve(loadEntries(next))).toEqual([
      [1, layer],
      [2500, layer],
    ]);
    expect(await hosts.resolve(b.view.standbys('v'))).toEqual([]);
    await hosts.time.advance(60_000);
    expect(next.fence.state()).toBe(FENCE_OPEN);
    await hosts.resolve(b.view.close());
    expect(await hosts.resolve(a.view.owner('v'))).toBeNull();
  });

  it('has it when the lease of a dead owner has ended and its late writes have landed', async () => {
    const standby = await standBy(b);
    await hosts.time.advance(7000);
    a.process.kill();
    const diedAtMs = hosts.time.nowMs;
    await hosts.time.runUntil(() => hosts.json(`state/${uuid}`).epoch === 2, 60_000);
    const freeAtMs = hosts.time.nowMs;
    const next = await attachedBy(standby);
    expect(hosts.time.nowMs - freeAtMs).toBeGreaterThanOrEqual(TAKE_OVER_WAIT_MS);
    expect(hosts.time.nowMs - diedAtMs).toBeLessThan(LEASE_TTL_MS + TAKE_OVER_WAIT_MS + 1000);
    expect(next.uncleanBefore).toBe(true);
    expect(hosts.json(`state/${uuid}`).unsettledMs).toBe(0);
  });

  it('of the same host has it at once when the owner is killed', async () => {
    const neighbour = hosts.seat('a');
    const standby = await standBy(neighbour);
    a.process.kill();
    const diedAtMs = hosts.time.nowMs;
    expect((await attachedBy(standby)).uncleanBefore).toBe(true);
    expect(hosts.time.nowMs - diedAtMs).toBeLessThanOrEqual(500);
  });

  it('is handed the volume: the lock is never free, and the owner writes nothing any more', async () => {
    const standby = await standBy(b);
    await hosts.resolve(owner.handOver());
    expect(owner.fence.state()).toBe(FENCE_LOST);
    const next = await attachedBy(standby);
    expect(next.uncleanBefore).toBe(false);
    expect(next.record.epoch).toBe(2);
    expect(hosts.json(`state/${uuid}`)).toMatchObject({ epoch: 2, inUse: true });
    expect(next.fence.state()).toBe(FENCE_OPEN);
    expect(await hosts.resolve(commit(next, [{ chunk: 2, layer }]))).toBe(0);
    expect(await hosts.resolve(commit(owner, [{ chunk: 3, layer }]))).not.toBe(0);
    await hosts.resolve(a.view.close());
    expect(await hosts.resolve(a.view.owner('v'))).toMatchObject({ host: 'b' });
    // And back again.
    const back = await standBy(a);
    await hosts.resolve(next.handOver(`a:${a.process.pid}`));
    expect((await attachedBy(back)).record.epoch).toBe(3);
  });

  it('hears of it within half a second where its watch is dead', async () => {
    b.etcd.watch = () => () => {};
    const standby = await standBy(b);
    await hosts.time.advance(3333);
    const before = hosts.time.nowMs;
    await hosts.resolve(owner.handOver());
    await attachedBy(standby);
    expect(hosts.time.nowMs - before).toBeLessThanOrEqual(500);
  });

  it('is chosen by its name where there are several', async () => {
    await expect(hosts.resolve(owner.handOver())).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    const first = await standBy(b);
    const second = await standBy(c);
    await expect(hosts.resolve(owner.handOver())).rejects.toEqual(refusal('STANDBY_AMBIGUOUS'));
    await expect(hosts.resolve(owner.handOver('x:1'))).rejects.toEqual(
      refusal('STANDBY_NOT_FOUND'),
    );
    expect(owner.fence.state()).toBe(FENCE_OPEN);
    await hosts.resolve(owner.handOver(second.name));
    const next = await attachedBy(second);
    await hosts.resolve(next.handOver(first.name));
    expect((await attachedBy(first)).record.epoch).toBe(3);
  });

  it('that died is not handed to: the owner goes on', async () => {
    const standby = await standBy(b);
    b.process.kill();
    const { leaseId } = [...hosts.keysBelow(`standbys/${uuid}/`)][0];
    // Its lease ends at the instant at which it is handed the volume.
    a.etcd.fault = ({ transaction }) => {
      const puts = transaction?.success.some((operation) => 'put' in operation);
      if (puts === true) {
        a.etcd.fault = null;
        hosts.cluster.revoke(leaseId);
      }
      return null;
    };
    const handing = hosts.resolve(owner.handOver(standby.name));
    await expect(handing).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    await hosts.time.advance(1000);
    expect(owner.fence.state()).toBe(FENCE_OPEN);
    expect(await hosts.resolve(commit(owner, [{ chunk: 2, layer }]))).toBe(0);
    expect((await hosts.resolve(a.view.read('v'))).epoch).toBe(1);
  });

  it('of several one has it when it is free, and the other waits on', async () => {
    const standbys = [await standBy(b), await standBy(c)];
    await hosts.resolve(owner.release());
    await hosts.time.advance(5000);
    const won: EtcdAttachment[] = [];
    for (const standby of standbys) {
      void standby.attached.then((attachment) => won.push(attachment as EtcdAttachment));
    }
    await hosts.time.advance(1);
    expect(won.length).toBe(1);
    await hosts.resolve(won[0].release());
    await hosts.time.advance(1000);
    expect(won.length).toBe(2);
    expect(won.map(({ record }) => record.epoch)).toEqual([2, 3]);
  });

  it('that was handed the volume and dies before it knows leaves it to the next', async () => {
    await standBy(b);
    b.process.stop();
    await hosts.resolve(owner.handOver());
    b.process.kill();
    const standby = await standBy(c);
    const next = await attachedBy(standby);
    expect(next.record.epoch).toBe(3);
    expect(next.uncleanBefore).toBe(true);
    expect(await hosts.resolve(loadEntries(next))).toEqual([[1, layer]]);
  });

  it('that was handed the volume while it was stopped for long takes it as anybody does', async () => {
    const standby = await standBy(b);
    b.process.stop();
    await hosts.resolve(owner.handOver());
    await hosts.time.advance(3 * LEASE_TTL_MS);
    b.process.continue();
    const next = await attachedBy(standby);
    expect(next.record.epoch).toBe(3);
    await hosts.time.advance(5000);
    expect(next.fence.state()).toBe(FENCE_OPEN);
  });

  it('cancelled at the instant of the hand-over gives the volume back', async () => {
    const standby = await standBy(b);
    const handing = owner.handOver();
    const cancelling = standby.cancel();
    handing.catch(() => {});
    await hosts.resolve(cancelling);
    await hosts.resolve(handing.catch(() => {}));
    await hosts.time.advance(2 * LEASE_TTL_MS);
    const left = await hosts.resolve(c.view.owner('v'));
    expect(left === null || left.host === 'a').toBe(true);
    if (left === null) {
      const next = await hosts.resolve(c.view.attach('v', WRITE));
      expect(next.uncleanBefore).toBe(false);
    } else {
      expect(owner.fence.state()).toBe(FENCE_OPEN);
    }
  });

  it('keeps its lease, also after it was gone', async () => {
    const standby = await standBy(b);
    b.cutOff();
    await hosts.time.advance(5 * LEASE_TTL_MS);
    expect(await hosts.resolve(a.view.standbys('v'))).toEqual([]);
    b.reconnect();
    await hosts.time.advance(3000);
    expect(await hosts.resolve(a.view.standbys('v'))).toEqual([standby.name]);
    await hosts.resolve(owner.handOver());
    expect((await attachedBy(standby)).uncleanBefore).toBe(false);
  });

  it('is told that the volume was deleted', async () => {
    const standby = await standBy(b);
    b.cutOff();
    await hosts.resolve(owner.release());
    await hosts.resolve(a.view.delete('v'));
    b.reconnect();
    await expect(attachedBy(standby)).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
    await expect(hosts.resolve(b.view.standBy('v'))).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
  });

  it('cancelled while it waits to use what it took leaves the volume unclean', async () => {
    const standby = await standBy(b);
    a.process.kill();
    await hosts.time.runUntil(() => hosts.json(`state/${uuid}`).epoch === 2, 60_000);
    await hosts.resolve(standby.cancel());
    await expect(standby.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
    const before = hosts.time.nowMs;
    const next = await hosts.resolve(c.view.attach('v', WRITE));
    expect(next.uncleanBefore).toBe(true);
    expect(hosts.time.nowMs - before).toBeGreaterThanOrEqual(TAKE_OVER_WAIT_MS);
  });

  it.each([
    ['request lost', REQUEST_LOST],
    ['reply lost', REPLY_LOST],
    ['late', LATE],
  ])(
    'a hand-over of which nobody knows whether it happened (%s) has one end',
    async (_how, fate) => {
      const standby = await standBy(b);
      a.etcd.fault = ({ transaction }) => {
        const puts = transaction?.success.some((operation) => 'put' in operation);
        return puts === true ? fate : null;
      };
      const handing = owner.handOver();
      handing.catch(() => {});
      let isAttached = false;
      void standby.attached.then(() => (isAttached = true));
      // Nobody writes while it is not known.
      for (let i = 0; i < 200; i++) {
        await hosts.time.advance(100);
        if (isAttached) expect(owner.fence.state()).not.toBe(FENCE_OPEN);
      }
      a.etcd.fault = null;
      await hosts.time.advance(120_000);
      if (isAttached) {
        expect(owner.fence.state()).toBe(FENCE_LOST);
      } else {
        expect(owner.fence.state()).toBe(FENCE_OPEN);
        expect(await hosts.resolve(commit(owner, [{ chunk: 2, layer }]))).toBe(0);
      }
      expect(isAttached).toBe(fate === REPLY_LOST);
    },
  );

  it('a hand-over by one whose lock is gone is refused', async () => {
    const standby = await standBy(b);
    // The keys are read as if the lock had gone: the standby itself does not see it so soon.
    a.etcd.fault = ({ name }) => (name === 'keepAlive' ? { requestMs: null, replyMs: null } : null);
    b.process.stop();
    const handing = owner.handOver(standby.name);
    const gone = { delete: { key: `attach/${uuid}` } };
    hosts.cluster.keys.transaction({ compare: [], success: [gone] });
    await expect(hosts.resolve(handing)).rejects.toEqual(refusal('HAND_OVER_FAILED'));
    a.etcd.fault = null;
    await hosts.time.advance(3000);
    expect(owner.fence.state()).toBe(FENCE_OPEN);
  });
});
