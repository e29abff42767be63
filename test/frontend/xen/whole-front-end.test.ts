/** Handshake and rings together: a guest's requests from its first connection over a change of process. */
import { BLKIF_OP_READ, BLKIF_OP_WRITE } from '../../../lib/ring';
import { FakeGuest } from './fake-guest';
import { until, XenRig } from './xen-rig';

let rig: XenRig;
let guest: FakeGuest;
beforeEach(async () => {
  rig = await XenRig.open();
  guest = new FakeGuest({ ringOrder: 1, queues: 2 });
  rig.realGuest = guest;
});
afterEach(async () => {
  await rig.dispose();
  guest.close();
});

/** As Linux' xen-blkfront writes several queues of several pages. */
function ringNodes(): Record<string, string> {
  const { ringOrder, queues } = guest.address;
  const nodes: Record<string, string> = {
    protocol: 'x86_64-abi',
    'multi-queue-num-queues': String(queues.length),
    'ring-page-order': String(ringOrder),
  };
  for (const [index, { ringRefs, eventChannel }] of queues.entries()) {
    nodes[`queue-${index}/event-channel`] = String(eventChannel);
    for (const [page, ref] of ringRefs.entries()) {
      nodes[`queue-${index}/ring-ref${page}`] = String(ref);
    }
  }
  return nodes;
}

test('requests put between two processes are answered by the second, which the guest does not see', async () => {
  const first = await rig.connected(ringNodes());
  guest.data(0).fill(0x5a);
  guest.put(1, { operation: BLKIF_OP_WRITE, sector: 8 }, [{ page: 0 }]);
  guest.go();
  expect(guest.answers()).toEqual([{ id: 1, operation: BLKIF_OP_WRITE, status: 0 }]);
  await rig.end(first);
  expect(guest.grants.mapped).toBe(0);
  guest.put(2, { sector: 8 }, [{ page: 1 }], 1);
  guest.go(1);
  expect(guest.answers(1)).toEqual([]);
  const second = rig.start();
  await until(() => second.counters.requests === 1, 'the request is taken');
  expect(guest.answers(1)).toEqual([{ id: 2, operation: BLKIF_OP_READ, status: 0 }]);
  expect(guest.data(1).equals(guest.data(0))).toBe(true);
  expect(rig.read('state')).toBe('4');
  expect(rig.stops).toEqual([]);
});

test('pages that stayed mapped are let go of with the rings, and mapped anew by the next process', async () => {
  rig.grants = 'persistent';
  const nodes = { ...ringNodes(), 'feature-persistent': '1' };
  let frontend = await rig.connected(nodes);
  for (const process of [1, 2]) {
    guest.data(3).fill(process);
    guest.put(1, { operation: BLKIF_OP_WRITE, sector: 8 }, [{ page: 3 }, { page: 1 }]);
    guest.put(2, { sector: 8 }, [{ page: 2 }], 1);
    guest.go();
    guest.go(1);
    await until(() => frontend.counters.responses === 2, 'both are answered');
    expect(guest.data(2).equals(guest.data(3))).toBe(true);
    expect(frontend.counters).toMatchObject({ persistentGrants: 3, copiesFailed: 0 });
    expect(guest.grants.batches).toEqual([]);
    await rig.end(frontend);
    expect(frontend.counters.persistentGrants).toBe(0);
    expect(guest.grants.mapped).toBe(0);
    guest.fronts.forEach((_, queue) => guest.answers(queue));
    if (process === 1) {
      frontend = rig.start();
      await until(() => guest.grants.mapped === 2, 'the rings are opened again');
    }
  }
});

test('a guest that breaks its ring loses its rings, and is served again once it has made them anew', async () => {
  const frontend = await rig.connected(ringNodes());
  // req_prod runs far ahead of what a ring holds.
  guest.ring(1).writeUInt32LE(100_000, 0);
  guest.events.guestKicks(21);
  await rig.backIs('5');
  expect(frontend.stopped?.code).toBe('RING_PRODUCER_OVERFLOW');
  rig.guest({ state: '6' });
  await rig.backIs('6');
  expect([guest.grants.mapped, guest.events.boundPorts]).toEqual([0, 0]);
  guest.makeRings();
  rig.guest({ state: '1' });
  await rig.backIs('2');
  rig.guest({ state: '3' });
  await rig.backIs('4');
  guest.put(3, { sector: 0 }, [{ page: 0 }], 1);
  guest.go(1);
  expect(guest.answers(1)).toEqual([{ id: 3, operation: BLKIF_OP_READ, status: 0 }]);
});
