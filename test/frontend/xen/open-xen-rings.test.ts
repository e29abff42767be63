/** A guest's requests through grants and event channels, and what it may do to its own rings. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openXenRings } from '../../../lib/frontend/xen/open-xen-rings';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from '../../../lib/ring';
import { FakeBlockDevice } from '../fake-block-device';
import { refusal } from '../refusal';
import type { FakeGuest, GuestShape } from './fake-guest';
import { directory, journal, newGuest, open, pages, serve } from './served-guest';

const PAGE = 4096;
const SECTOR = 512;

describe.each<GuestShape>([
  {},
  { abi: 'x86_32' },
  { ringOrder: 4 },
  { ringOrder: 2, queues: 4 },
  { persistent: true },
  { persistent: true, queues: 2 },
])('a guest of %j', (shape) => {
  it('writes, and reads the same', async () => {
    const guest = newGuest(shape);
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    const queues = guest.fronts.length;
    for (let round = 0; round < 100; round++) {
      const queue = round % queues;
      for (let page = 0; page < 11; page++) guest.data(page).fill(round + page + 1);
      guest.put(1, { operation: BLKIF_OP_WRITE, sector: round * 16 }, pages(11), queue);
      guest.go(queue);
      expect(guest.answers(queue)).toEqual([{ id: 1, operation: BLKIF_OP_WRITE, status: 0 }]);
      guest.put(2, { sector: round * 16 }, pages(11, 100), queue);
      guest.go(queue);
      expect(guest.answers(queue)).toEqual([{ id: 2, operation: BLKIF_OP_READ, status: 0 }]);
      for (let page = 0; page < 11; page++) {
        expect(guest.data(100 + page).equals(guest.data(page))).toBe(true);
      }
    }
    expect(disk.seen.every(({ runs }) => runs === 1)).toBe(true);
    expect(rings.counters).toMatchObject({ requests: 200, responses: 200, refused: 0 });
    await rings.close();
    expect([guest.grants.mapped, guest.events.boundPorts, disk.leaked]).toEqual([0, 0, 0]);
  });
});

it('carries parts of pages as one run, and touches nothing beside them', async () => {
  const guest = newGuest();
  const disk = new FakeBlockDevice();
  const rings = open(guest, disk);
  const segments = [
    { page: 0, first: 7, last: 7 },
    { page: 1, first: 2, last: 3 },
    { page: 2, first: 0, last: 7 },
  ];
  for (let page = 0; page < 3; page++) guest.data(page).fill(page + 1);
  guest.put(1, { operation: BLKIF_OP_WRITE, sector: 8 }, segments);
  guest.go();
  const expected = Buffer.concat([
    Buffer.alloc(SECTOR, 1),
    Buffer.alloc(2 * SECTOR, 2),
    Buffer.alloc(PAGE, 3),
  ]);
  expect(disk.disk.subarray(8 * SECTOR, 8 * SECTOR + expected.length)).toEqual(expected);
  expect(disk.seen).toEqual([{ operation: 1, sector: 8, sectorCount: 11, runs: 1 }]);
  for (let page = 0; page < 3; page++) guest.data(page).fill(0xee);
  guest.put(2, { sector: 8 }, segments);
  guest.go();
  const first = guest.data(0);
  expect(first.subarray(0, 7 * SECTOR).equals(Buffer.alloc(7 * SECTOR, 0xee))).toBe(true);
  expect(first.subarray(7 * SECTOR).equals(Buffer.alloc(SECTOR, 1))).toBe(true);
  expect(
    guest
      .data(1)
      .subarray(4 * SECTOR)
      .equals(Buffer.alloc(4 * SECTOR, 0xee)),
  ).toBe(true);
  expect(guest.data(2).equals(Buffer.alloc(PAGE, 3))).toBe(true);
  await rings.close();
});

it('takes indirect requests of up to 256 segments', async () => {
  const guest = newGuest();
  const disk = new FakeBlockDevice();
  const rings = open(guest, disk);
  for (let page = 0; page < 256; page++) guest.data(page).fill(page);
  guest.putIndirect(1, { indirectOperation: BLKIF_OP_WRITE, sector: 0 }, pages(256), 1000);
  guest.go();
  guest.putIndirect(2, { indirectOperation: BLKIF_OP_READ, sector: 0 }, pages(256, 300), 1001);
  guest.go();
  expect(guest.answers()).toEqual([
    { id: 1, operation: BLKIF_OP_WRITE, status: 0 },
    { id: 2, operation: BLKIF_OP_READ, status: 0 },
  ]);
  for (let page = 0; page < 256; page++) {
    expect(guest.data(300 + page).equals(guest.data(page))).toBe(true);
  }
  expect(disk.seen.map(({ runs }) => runs)).toEqual([1, 1]);
  await rings.close();
});

it('passes a barrier, a flush and a discard on in their order, and fetches for all in one batch', async () => {
  const guest = newGuest();
  const disk = new FakeBlockDevice({ manual: true });
  const rings = open(guest, disk);
  guest.put(1, { operation: BLKIF_OP_WRITE }, pages(1));
  guest.put(2, { operation: BLKIF_OP_WRITE_BARRIER }, []);
  guest.put(3, { operation: BLKIF_OP_READ }, pages(1, 1));
  guest.put(4, { operation: BLKIF_OP_FLUSH_DISKCACHE }, pages(2, 2));
  guest.put(5, { operation: BLKIF_OP_DISCARD, nrSectors: 8 }, []);
  guest.go();
  expect(disk.waiting.map(({ operation }) => operation)).toEqual([1, 2, 0, 3, 5]);
  expect(guest.grants.batches).toEqual([3]);
  disk.completeAll();
  expect(guest.grants.batches).toEqual([3, 1]);
  expect(guest.answers().length).toBe(5);
  await rings.close();
});

describe('a page that is not granted', () => {
  it('is an error of the request that names it, and of no other', async () => {
    const guest = newGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    guest.revoke(50);
    guest.put(1, { operation: BLKIF_OP_WRITE, sector: 0 }, pages(2));
    guest.put(2, { operation: BLKIF_OP_WRITE, sector: 16 }, [{ page: 1 }, { page: 50 }]);
    guest.put(3, { operation: BLKIF_OP_READ, sector: 0 }, [{ page: 2 }, { page: 50 }]);
    guest.put(4, { operation: BLKIF_OP_READ, sector: 0 }, pages(2, 4));
    guest.go();
    const outcomes = new Map(guest.answers().map(({ id, status }) => [id, status]));
    expect(outcomes.get(1)).toBe(BLKIF_RSP_OKAY);
    expect(outcomes.get(2)).toBe(BLKIF_RSP_ERROR);
    expect(outcomes.get(3)).toBe(BLKIF_RSP_ERROR);
    expect(outcomes.get(4)).toBe(BLKIF_RSP_OKAY);
    expect(disk.seen.map(({ sector, operation }) => [operation, sector])).not.toContainEqual([
      1, 16,
    ]);
    expect(rings.counters.copiesFailed).toBe(2);
    await rings.close();
    expect(disk.leaked).toBe(0);
  });

  it('holds no indirect segments', async () => {
    const guest = newGuest();
    const rings = open(guest, new FakeBlockDevice());
    guest.putIndirect(1, { indirectOperation: BLKIF_OP_WRITE }, pages(4), 60);
    guest.revoke(60);
    guest.go();
    expect(guest.answers()).toEqual([{ id: 1, operation: BLKIF_OP_WRITE, status: -1 }]);
    await rings.close();
  });

  it('may have been granted when its data was fetched', async () => {
    const guest = newGuest();
    const disk = new FakeBlockDevice({ manual: true });
    const rings = open(guest, disk);
    guest.put(1, { operation: BLKIF_OP_READ }, pages(3));
    guest.put(2, { operation: BLKIF_OP_WRITE }, pages(3, 3));
    guest.go();
    guest.revoke(1);
    guest.revoke(4);
    disk.completeAll();
    expect(guest.answers().map(({ id, status }) => [id, status])).toEqual([
      [2, BLKIF_RSP_OKAY],
      [1, BLKIF_RSP_ERROR],
    ]);
    await rings.close();
  });
});

it('answers with errors what the kernel refuses to copy, and goes on', async () => {
  const guest = newGuest();
  const disk = new FakeBlockDevice();
  const rings = open(guest, disk);
  for (const operation of [BLKIF_OP_WRITE, BLKIF_OP_READ]) {
    guest.grants.failNext = true;
    guest.put(1, { operation }, pages(1));
    guest.put(2, { operation }, pages(1, 1));
    guest.go();
    expect(guest.answers().map(({ status }) => status)).toEqual([-1, -1]);
    guest.put(3, { operation }, pages(1));
    guest.go();
    expect(guest.answers().map(({ status }) => status)).toEqual([0]);
  }
  await rings.close();
  expect(disk.leaked).toBe(0);
});

it('takes no more than there is memory for, and the rest when there is', async () => {
  const guest = newGuest({ ringOrder: 1 });
  const disk = new FakeBlockDevice({ manual: true, sectors: 2 ** 20 });
  const rings = open(guest, disk);
  for (let id = 0; id < 60; id++) {
    const sector = (id % 16) * 2048;
    guest.putIndirect(id, { indirectOperation: BLKIF_OP_READ, sector }, pages(256), 1000 + id);
  }
  guest.go();
  expect(disk.waiting.length).toBe(36);
  disk.manual = false;
  disk.completeAll();
  expect(guest.answers().length).toBe(60);
  await rings.close();
});

describe('a process that dies', () => {
  it('is followed by one that does what was taken and not answered, once', async () => {
    const guest = newGuest({ queues: 2 });
    const died = new FakeBlockDevice({ manual: true });
    open(guest, died);
    for (let id = 1; id <= 6; id++) {
      guest.data(id).fill(id);
      guest.put(id, { operation: BLKIF_OP_WRITE, sector: id * 8 }, [{ page: id }]);
    }
    guest.put(7, { operation: BLKIF_OP_READ, sector: 0 }, [{ page: 7 }], 1);
    guest.go();
    guest.go(1);
    died.complete(died.waiting[4]);
    died.complete(died.waiting[1]);
    expect(guest.answers().map(({ id }) => id)).toEqual([5, 2]);
    // Put while nobody serves.
    guest.put(8, { operation: BLKIF_OP_WRITE, sector: 64 }, [{ page: 8 }]);
    guest.fronts[0].push();

    guest.processDies();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk, true);
    expect(disk.seen.map(({ sector }) => sector)).toEqual([8, 24, 32, 48, 64, 0]);
    expect(guest.answers().map(({ id }) => id)).toEqual([1, 3, 4, 6, 8]);
    expect(guest.answers(1).map(({ id }) => id)).toEqual([7]);
    expect(disk.disk.subarray(3 * PAGE, 4 * PAGE).equals(guest.data(3))).toBe(true);
    guest.put(9, { operation: BLKIF_OP_READ, sector: 24 }, [{ page: 9 }]);
    guest.go();
    expect(guest.answers().map(({ id }) => id)).toEqual([9]);
    await rings.close();
  });

  it('leaves the guest kicked, though there is nothing to do', async () => {
    const guest = newGuest();
    open(guest, new FakeBlockDevice());
    guest.processDies();
    const rings = open(guest, new FakeBlockDevice(), true);
    expect(guest.events.kicks.get(20)).toBe(1);
    await rings.close();
  });

  it('does not meet a ring that the guest has made afresh', async () => {
    const guest = newGuest();
    open(guest, new FakeBlockDevice({ manual: true }));
    guest.put(1, { operation: BLKIF_OP_WRITE, sector: 8 }, [{ page: 1 }]);
    guest.go();
    guest.processDies();
    guest.makeRings();
    guest.put(2, { operation: BLKIF_OP_READ, sector: 0 }, [{ page: 1 }]);
    guest.fronts[0].push();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    expect(disk.seen.map(({ operation }) => operation)).toEqual([0]);
    expect(guest.answers().map(({ id }) => id)).toEqual([2]);
    await rings.close();
  });

  it('leaves a journal that is removed with the rings', async () => {
    const guest = newGuest();
    const rings = open(guest, new FakeBlockDevice());
    await rings.close();
    expect(existsSync(journal)).toBe(true);
    rings.forget();
    expect(existsSync(journal)).toBe(false);
    rings.forget();
  });
});

it('stops all queues when one is broken, and tells it once', async () => {
  const guest = newGuest({ queues: 2 });
  const disk = new FakeBlockDevice({ manual: true });
  const { rings, stops } = serve(guest, disk);
  guest.put(1, { operation: BLKIF_OP_READ }, pages(1), 1);
  guest.go(1);
  guest.ring(0).writeUInt32LE(1000, 0);
  guest.events.guestKicks(20);
  guest.ring(0).writeUInt32LE(2000, 0);
  guest.events.guestKicks(20);
  expect(stops.map(({ code }) => code)).toEqual(['RING_PRODUCER_OVERFLOW']);
  expect(rings.stopped).toBe(stops[0]);
  disk.completeAll();
  expect(guest.answers(1)).toEqual([]);
  await rings.close();
  expect([guest.grants.mapped, guest.events.boundPorts, disk.leaked]).toEqual([0, 0, 0]);
});

it('hears a guest that kicks all the time once for each look', async () => {
  const guest = newGuest();
  const rings = open(guest, new FakeBlockDevice());
  for (let kick = 0; kick < 50; kick++) guest.events.guestKicks(20);
  expect(rings.counters).toMatchObject({ wakeups: 50, requests: 0 });
  await rings.close();
  guest.events.guestKicks(20);
});

describe('refuses, and leaves nothing behind,', () => {
  function refused(guest: FakeGuest, takenOver = false): { code: string; message: string } {
    const outcome = refusal(() => open(guest, new FakeBlockDevice(), takenOver));
    expect(guest.grants.mapped).toBe(0);
    return outcome;
  }

  it('pages that are not granted: XEN_RING_UNMAPPED', () => {
    const guest = newGuest({ ringOrder: 1, queues: 2 });
    guest.grants.revoke(3);
    expect(refused(guest).code).toBe('XEN_RING_UNMAPPED');
    expect(guest.events.boundPorts).toBe(0);
  });

  it('a port that another has: XEN_EVENT_CHANNEL_UNBOUND', () => {
    const guest = newGuest({ queues: 2 });
    guest.events.bindInterdomain(5, 21);
    expect(refused(guest)).toMatchObject({
      code: 'XEN_EVENT_CHANNEL_UNBOUND',
      message: expect.stringContaining('event channel 21 of domain 5') as string,
    });
    expect(guest.events.boundPorts).toBe(1);
  });

  it('a ring whose rsp_prod was rewritten: RING_RESPONSES_REWRITTEN', () => {
    const guest = newGuest();
    open(guest, new FakeBlockDevice());
    guest.processDies();
    guest.ring().writeUInt32LE(7, 8);
    expect(refused(guest, true).code).toBe('RING_RESPONSES_REWRITTEN');
    expect(guest.events.boundPorts).toBe(0);
  });

  it('a journal of another version: RING_JOURNAL_VERSION_UNKNOWN, where it matters', async () => {
    const guest = newGuest();
    const header = Buffer.alloc(PAGE);
    header.write('TDTSRJNL');
    header.writeUInt32LE(2, 8);
    writeFileSync(journal, header);
    expect(refused(guest, true).code).toBe('RING_JOURNAL_VERSION_UNKNOWN');
    await open(guest, new FakeBlockDevice()).close();
  });

  it('a directory that cannot hold one: RING_JOURNAL_UNUSABLE', () => {
    const guest = newGuest();
    const missing = {
      ...guest.address,
      takenOver: false,
      journalDirectory: join(directory, 'missing'),
      journalKey: 'vbd',
    };
    const events = { onStopped: () => undefined };
    const disk = new FakeBlockDevice();
    expect(refusal(() => openXenRings(missing, disk, events, guest.system)).code).toBe(
      'RING_JOURNAL_UNUSABLE',
    );
    expect([guest.grants.mapped, guest.events.boundPorts]).toEqual([0, 0]);
  });
});

it('stops where the event channels cannot be read: XEN_EVENTS_FAILED', async () => {
  const guest = newGuest();
  const { rings, stops } = serve(guest, new FakeBlockDevice());
  guest.events.failNextRead = true;
  guest.events.guestKicks(20);
  expect(stops.map(({ code }) => code)).toEqual(['XEN_EVENTS_FAILED']);
  await rings.close();
});
