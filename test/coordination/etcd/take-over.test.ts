/** Who may take a volume, when, and after what wait: by attach, by steal, from the dead. */
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import { FENCE_LOST, FENCE_OPEN, FENCE_WAITING } from '../../../lib/fence';
import { CHUNK, commit, loadEntries, READ, refusal, WRITE } from '../pool-under-test';
import {
  FENCE_MS,
  LEASE_TTL_MS,
  TAKE_OVER_WAIT_MS,
  VirtualHosts,
  type Seat,
} from './virtual-hosts';

const STEAL = { readOnly: false, steal: true };

describe('a volume of a cluster', () => {
  let hosts: VirtualHosts;
  let a: Seat;
  let b: Seat;
  let layer: number;
  let uuid: string;

  beforeEach(async () => {
    ({ hosts, a, b, uuid, layer } = await VirtualHosts.withVolume(CHUNK));
  });

  const attach = (seat: Seat, options: object = WRITE): Promise<EtcdAttachment> =>
    hosts.resolve(seat.view.attach('v', { readOnly: false, ...options }));

  /** Milliseconds of virtual time that it took. */
  const timed = async (action: () => Promise<unknown>): Promise<number> => {
    const before = hosts.time.nowMs;
    await action();
    return hosts.time.nowMs - before;
  };

  it('is raced for by many again and again: each time one has it', async () => {
    const seats = Array.from({ length: 8 }, (_, i) => hosts.seat(`h${i}`));
    for (let round = 1; round <= 60; round++) {
      // Requests and replies of chance lengths, so that the calls interleave otherwise each time.
      for (const { etcd } of seats) {
        etcd.fault = () => {
          const requestMs = hosts.time.random.below(30);
          return { requestMs, replyMs: hosts.time.random.below(30) };
        };
      }
      const tries = seats.map((seat) => seat.view.attach('v', WRITE));
      const ends = await hosts.resolve(Promise.allSettled(tries));
      const won = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
      const failed = ends.flatMap((end): unknown[] =>
        end.status === 'rejected' ? [end.reason] : [],
      );
      expect({ round, winners: won.length }).toEqual({ round, winners: 1 });
      expect(failed).toEqual(Array(7).fill(refusal('VOLUME_ATTACHED')));
      expect(won[0].record.epoch).toBe(round);
      await hosts.resolve(won[0].release());
    }
  });

  it('of an owner that died elsewhere is free when its lease ends, and used after a wait', async () => {
    await attach(a);
    a.process.kill();
    await expect(attach(b)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
    expect(await hosts.resolve(b.view.owner('v'))).toMatchObject({ host: 'a' });
    await hosts.time.advance(LEASE_TTL_MS);
    const told: number[] = [];
    const tookMs = await timed(() =>
      attach(b, { onWaiting: (leftMs: number) => told.push(leftMs) }),
    );
    expect(tookMs).toBe(TAKE_OVER_WAIT_MS);
    expect(told[0]).toBe(TAKE_OVER_WAIT_MS);
    expect([...told].sort((x, y) => y - x)).toEqual(told);
  });

  it('of an owner that died on this host is there at once, and its lease is no matter', async () => {
    const old = await attach(a);
    await hosts.resolve(commit(old, [{ chunk: 3, layer }]));
    a.process.kill();
    const next = hosts.seat('a');
    let attachment: EtcdAttachment;
    expect(await timed(async () => (attachment = await attach(next)))).toBe(0);
    expect(attachment!.uncleanBefore).toBe(true);
    expect(await hosts.resolve(loadEntries(attachment!))).toEqual([[3, layer]]);
    // The end of the dead one's lease takes nothing with it.
    await hosts.time.advance(3 * LEASE_TTL_MS);
    expect(attachment!.fence.state()).toBe(FENCE_OPEN);
  });

  it('needs no wait where the store itself refuses the former owner', async () => {
    await attach(a);
    a.process.kill();
    await hosts.time.advance(LEASE_TTL_MS);
    const fencing = hosts.seat('c', { storeFences: true });
    expect(await timed(() => attach(fencing))).toBe(0);
  });

  it('whose next owner died while it waited is waited for again, on its own host too', async () => {
    await attach(a);
    a.process.kill();
    await hosts.time.advance(LEASE_TTL_MS);
    const taking = b.view.attach('v', WRITE);
    taking.catch(() => {});
    await hosts.time.advance(TAKE_OVER_WAIT_MS / 2);
    b.process.kill();
    const next = hosts.seat('b');
    let attachment: EtcdAttachment;
    expect(await timed(async () => (attachment = await attach(next)))).toBe(TAKE_OVER_WAIT_MS);
    expect(attachment!.uncleanBefore).toBe(true);
    expect(hosts.json(`state/${uuid}`).unsettledMs).toBe(0);
    next.process.kill();
    expect(await timed(() => attach(hosts.seat('b')))).toBe(0);
  });

  it('can be stolen: the owner writes nothing from then on, and the thief waits for its fence', async () => {
    const old = await attach(a);
    expect(await hosts.resolve(commit(old, [{ chunk: 1, layer }]))).toBe(0);
    a.cutOff();
    const told: number[] = [];
    const onWaiting = (leftMs: number): void => {
      told.push(leftMs);
      // While it may still write nobody else does.
      if (leftMs < TAKE_OVER_WAIT_MS) expect(old.fence.state()).toBe(FENCE_WAITING);
    };
    let thief: EtcdAttachment;
    const tookMs = await timed(async () => (thief = await attach(b, { ...STEAL, onWaiting })));
    expect(tookMs).toBeGreaterThanOrEqual(FENCE_MS + TAKE_OVER_WAIT_MS);
    expect(tookMs).toBeLessThanOrEqual(FENCE_MS * 1.1 + 101 + TAKE_OVER_WAIT_MS);
    expect(told.length).toBeGreaterThan(10);
    expect(thief!.uncleanBefore).toBe(true);
    expect(thief!.record.epoch).toBe(2);
    const late = commit(old, [{ chunk: 2, layer }]);
    a.reconnect();
    expect(await hosts.resolve(late)).not.toBe(0);
    expect(old.fence.state()).toBe(FENCE_LOST);
    expect(await hosts.resolve(loadEntries(thief!))).toEqual([[1, layer]]);
    await hosts.time.advance(5 * LEASE_TTL_MS);
    expect(thief!.fence.state()).toBe(FENCE_OPEN);
  });

  it('stolen from an owner that lives and hears of it is lost to it at once', async () => {
    const old = await attach(a);
    const stealing = b.view.attach('v', STEAL);
    await hosts.time.advance(LEASE_TTL_MS / 4 + 1);
    expect(old.fence.state()).toBe(FENCE_LOST);
    expect((await hosts.resolve(stealing)).fence.state()).toBe(FENCE_OPEN);
  });

  it('whose thief dies while it waits is waited for as long by the next', async () => {
    const old = await attach(a);
    a.process.stop();
    const stealing = b.view.attach('v', STEAL);
    stealing.catch(() => {});
    await hosts.time.advance(100);
    b.process.kill();
    const begunAtMs = hosts.time.nowMs;
    await attach(hosts.seat('b'));
    expect(hosts.time.nowMs - begunAtMs).toBeGreaterThanOrEqual(FENCE_MS + TAKE_OVER_WAIT_MS);
    a.process.continue();
    expect(old.fence.state()).not.toBe(FENCE_OPEN);
  });

  it('that nobody has is stolen as it is attached', async () => {
    expect(await timed(() => attach(b, STEAL))).toBe(0);
  });

  it('can be stolen from readers, who read no more then', async () => {
    const reader = await attach(a, READ);
    await expect(attach(b)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
    a.cutOff();
    const thief = await attach(b, STEAL);
    expect(reader.fence.state()).toBe(FENCE_WAITING);
    a.reconnect();
    await hosts.time.advance(3000);
    expect(reader.fence.state()).toBe(FENCE_LOST);
    expect(thief.uncleanBefore).toBe(false);
  });

  it('is not stolen for reading', async () => {
    await attach(a);
    const stealing = attach(b, { readOnly: true, steal: true });
    await expect(stealing).rejects.toEqual(refusal('STEAL_UNSUPPORTED'));
  });

  it("stolen by many at once is one's in the end", async () => {
    await attach(a);
    a.process.kill();
    const thieves = ['x', 'y', 'z'].map((name) => hosts.seat(name));
    const ends = await hosts.resolve(
      Promise.allSettled(thieves.map(({ view }) => view.attach('v', STEAL))),
    );
    const won = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    expect(won.length).toBe(1);
    for (const end of ends) {
      if (end.status === 'rejected') expect(end.reason).toEqual(refusal('VOLUME_LOST'));
    }
    expect(won[0].fence.state()).toBe(FENCE_OPEN);
    expect(won[0].record.epoch).toBe(4);
  });

  it("given back while its owner cannot be heard stays the next one's", async () => {
    const old = await attach(a);
    a.cutOff();
    await hosts.time.advance(LEASE_TTL_MS + 1);
    const next = await attach(b);
    a.reconnect();
    await hosts.resolve(old.release());
    await hosts.time.advance(5000);
    expect(next.fence.state()).toBe(FENCE_OPEN);
    expect(hosts.json(`state/${uuid}`)).toMatchObject({ inUse: true, epoch: 2 });
  });

  it('is shown with its owner, readers, standbys, hosts and what the leases have left', async () => {
    const volume = { name: 'w', sizeBytes: CHUNK, chunkBytes: CHUNK };
    await hosts.resolve(a.view.create(volume));
    await attach(a);
    await hosts.resolve(b.view.attach('w', READ));
    const standby = await hosts.resolve(b.view.standBy('v'));
    await hosts.time.advance(1000);
    const view = await hosts.resolve(b.view.view());
    const leaseLeftMs = expect.any(Number) as number;
    expect(view).toMatchObject({
      owners: [{ volume: 'v', host: 'a', pid: a.process.pid, epoch: 1, leaseLeftMs }],
      readers: [{ volume: 'w', host: 'b', pid: b.process.pid, readOnly: true, leaseLeftMs }],
      standbys: [{ volume: 'v', host: 'b', pid: b.process.pid, epoch: 0, leaseLeftMs }],
      hosts: [
        { host: 'a', pids: [a.process.pid] },
        { host: 'b', pids: [b.process.pid] },
      ],
    });
    expect(view.owners[0].leaseLeftMs).toBeLessThanOrEqual(LEASE_TTL_MS);
    await hosts.resolve(standby.cancel());
    await hosts.resolve(a.view.close());
    await hosts.resolve(b.view.close());
    expect(await hosts.resolve(a.view.view())).toEqual({
      owners: [],
      readers: [],
      standbys: [],
      hosts: [],
    });
  });
});
