/** Pages of a guest that stay mapped: the same data as by grant copy, and never more than the limit. */
import fc from 'fast-check';
import { STAGING_STEADY_PAGES } from '../../../lib/frontend/limits';
import {
  PERSISTENT_GRANTS_MAX,
  PERSISTENT_MAP_FAILURES_MAX,
} from '../../../lib/frontend/xen/limits';
import { BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_RSP_ERROR, BLKIF_RSP_OKAY } from '../../../lib/ring';
import { VbdRequest } from '../../../lib/vbd/request';
import { runs } from '../../ring/property-options';
import { FakeBlockDevice } from '../fake-block-device';
import type { FakeGuest, Segment } from './fake-guest';
import { newGuest, open, pages, serve } from './served-guest';

const PAGE = 4096;
const SECTOR = 512;
/** In no order that gntdev, or this fake, could map as one piece of the guest's memory. */
const SCATTERED: readonly Segment[] = [7, 2, 40, 3, 1000, 5].map((page) => ({ page }));

function persistentGuest(): FakeGuest {
  return newGuest({ persistent: true });
}

function write(guest: FakeGuest, id: number, segments: readonly Segment[], sector = 0): void {
  guest.put(id, { operation: BLKIF_OP_WRITE, sector }, segments);
}

function read(guest: FakeGuest, id: number, segments: readonly Segment[], sector = 0): void {
  guest.put(id, { operation: BLKIF_OP_READ, sector }, segments);
}

/** Status by id, of all that was answered by now. */
function statuses(guest: FakeGuest): Record<number, number> {
  return Object.fromEntries(guest.answers().map(({ id, status }) => [id, status]));
}

/** Pages of each map that was asked for after that of the ring. */
function maps(guest: FakeGuest): number[] {
  return guest.grants.maps.slice(1);
}

/** What the guest's segments hold, one behind the other. */
function contents(guest: FakeGuest, segments: readonly Segment[]): Buffer {
  return Buffer.concat(
    segments.map(({ page, first = 0, last = 7 }) =>
      guest.data(page).subarray(first * SECTOR, (last + 1) * SECTOR),
    ),
  );
}

describe('pages of a guest that keeps its grants', () => {
  it('are mapped once, all of a batch in one call, and never copied by Xen', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    for (let round = 0; round < 3; round++) {
      for (const { page } of SCATTERED) guest.data(page).fill(page + round);
      const expected = contents(guest, SCATTERED);
      write(guest, 1, SCATTERED);
      read(guest, 2, pages(4, 100), 1024);
      guest.go();
      expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY, 2: BLKIF_RSP_OKAY });
      expect(disk.disk.subarray(0, expected.length).equals(expected)).toBe(true);
      for (const { page } of SCATTERED) guest.data(page).fill(0xee);
      read(guest, 3, SCATTERED);
      guest.go();
      expect(statuses(guest)).toEqual({ 3: BLKIF_RSP_OKAY });
      expect(contents(guest, SCATTERED).equals(expected)).toBe(true);
    }
    expect(maps(guest)).toEqual([10]);
    expect(guest.grants.batches).toEqual([]);
    expect(rings.counters.persistentGrants).toBe(10);
    await rings.close();
    expect([guest.grants.mapped, rings.counters.persistentGrants]).toEqual([0, 0]);
    // In its own memory, after the unmap.
    expect(guest.data(40).equals(Buffer.alloc(PAGE, 42))).toBe(true);
  });

  it('carry any sectors of theirs, mixed with pages that are copied, and nothing beside them', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const { rings } = serve(guest, disk);
    // The guest grants these for reading, so that they are not mapped.
    for (const page of [2, 5]) guest.grants.protect(guest.address.queues[0].ringRefs.length + page);
    const segment = fc
      .tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 }), fc.nat({ max: 9 }))
      .map(([one, other, page]) => ({
        page,
        first: Math.min(one, other),
        last: Math.max(one, other),
      }));
    read(
      guest,
      1,
      [0, 1, 3, 4, 6, 7, 8, 9].concat([20, 21, 22]).map((page) => ({ page })),
    );
    guest.go();
    expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY });
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 1, maxLength: 11 }),
        fc.nat({ max: 255 }),
        (segments, salt) => {
          for (let page = 0; page < 10; page++) {
            guest.data(page).forEach((_, at, bytes) => (bytes[at] = page * 16 + (at >> 9) + salt));
          }
          const expected = contents(guest, segments);
          write(guest, 1, segments, 64);
          guest.go();
          expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY });
          const at = 64 * SECTOR;
          expect(disk.disk.subarray(at, at + expected.length).equals(expected)).toBe(true);
          // Read into pages that no two segments share.
          const into = segments.map(({ first, last }, index) => ({
            page: 20 + index,
            first,
            last,
          }));
          for (const { page } of into) guest.data(page).fill(0xee);
          read(guest, 2, into, 64);
          guest.go();
          expect(statuses(guest)).toEqual({ 2: BLKIF_RSP_OKAY });
          expect(contents(guest, into).equals(expected)).toBe(true);
          for (const { page, first, last } of into) {
            const beside = guest.data(page);
            for (const sector of [0, 1, 2, 3, 4, 5, 6, 7]) {
              if (sector >= first && sector <= last) continue;
              const bytes = beside.subarray(sector * SECTOR, (sector + 1) * SECTOR);
              expect(bytes.equals(Buffer.alloc(SECTOR, 0xee))).toBe(true);
            }
          }
        },
      ),
      runs(200),
    );
    expect(rings.counters.copiesFailed).toBe(0);
    await rings.close();
  });

  it('are right where a segment lies across two runs of the staging area', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    const taken = Array.from({ length: STAGING_STEADY_PAGES }, (_, at) => new VbdRequest(at));
    for (const request of taken) guest.staging.give(request, PAGE);
    for (const [at, request] of taken.entries()) {
      if (at % 2 === 0) guest.staging.takeBack(request);
    }
    // One sector first: each later page begins in one page of the area and ends in the next.
    const segments = [{ page: 9, first: 3, last: 3 }, ...SCATTERED, { page: 8, first: 0, last: 4 }];
    for (const [at, { page }] of segments.entries()) guest.data(page).fill(at + 1);
    guest.grants.protect(guest.address.queues[0].ringRefs.length + 9);
    const expected = contents(guest, segments);
    write(guest, 1, segments);
    guest.go();
    // The page that cannot be mapped is in this request, too; then all but it is.
    write(guest, 2, segments.slice(1));
    guest.go();
    for (const sector of [0, 64]) {
      disk.disk.fill(0);
      write(guest, 3, segments, sector);
      guest.go();
      const at = sector * SECTOR;
      expect(disk.disk.subarray(at, at + expected.length).equals(expected)).toBe(true);
    }
    expect(disk.seen[0].runs).toBe(7);
    const into = [{ page: 30, first: 7, last: 7 }, ...SCATTERED, { page: 8, first: 3, last: 7 }];
    read(guest, 4, into, 64);
    guest.go();
    expect(statuses(guest)).toEqual({ 1: 0, 2: 0, 3: 0, 4: 0 });
    expect(contents(guest, into).equals(expected)).toBe(true);
    expect(rings.counters.persistentGrants).toBe(8);
    await rings.close();
  });

  it('include those that hold indirect segments, which are read anew for each request', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    for (let page = 0; page < 64; page++) guest.data(page).fill(page + 1);
    for (let round = 0; round < 4; round++) {
      const from = pages(40, round * 8);
      guest.putIndirect(1, { indirectOperation: BLKIF_OP_WRITE, sector: 0 }, from, 1000);
      guest.go();
      expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY });
      const expected = contents(guest, from);
      expect(disk.disk.subarray(0, expected.length).equals(expected)).toBe(true);
    }
    // The indirect page itself, the first time.
    expect(guest.grants.batches).toEqual([1]);
    expect(maps(guest)).toEqual([41, 8, 8, 8]);
    await rings.close();
  });

  it('are mapped while their requests are owed an answer, even one that is refused, or not at all', async () => {
    const guest = persistentGuest();
    const rings = open(guest, new FakeBlockDevice());
    const backwards = [{ page: 0, first: 5, last: 4 }];
    guest.putIndirect(1, { indirectOperation: BLKIF_OP_WRITE }, backwards, 1000);
    guest.go();
    expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_ERROR });
    expect(maps(guest)).toEqual([1]);
    read(guest, 2, pages(1));
    guest.go();
    expect(maps(guest)).toEqual([1, 1]);
    await rings.close();
  });
});

describe('what cannot be mapped goes by grant copy', () => {
  it('beyond the limit of a queue', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice({ sectors: 16_384 });
    const rings = open(guest, disk);
    for (let page = 0; page < 1280; page++) guest.data(page).fill(page % 251);
    for (let round = 0; round < 2; round++) {
      for (let part = 0; part < 5; part++) {
        const fields = { indirectOperation: BLKIF_OP_WRITE, sector: part * 2048 };
        guest.putIndirect(part, fields, pages(256, part * 256), 1500 + part);
      }
      guest.go();
      expect(Object.values(statuses(guest))).toEqual([0, 0, 0, 0, 0]);
      const expected = contents(guest, pages(1280));
      expect(disk.disk.subarray(0, expected.length).equals(expected)).toBe(true);
      expect(rings.counters.persistentGrants).toBe(PERSISTENT_GRANTS_MAX);
    }
    expect(maps(guest)).toEqual([PERSISTENT_GRANTS_MAX]);
    for (let part = 0; part < 5; part++) {
      const fields = { indirectOperation: BLKIF_OP_READ, sector: part * 2048 };
      guest.putIndirect(part, fields, pages(256, (4 - part) * 256), 1500 + part);
    }
    guest.go();
    for (let page = 0; page < 1280; page++) {
      const from = (4 - Math.floor(page / 256)) * 256 + (page % 256);
      expect(guest.data(page).equals(Buffer.alloc(PAGE, from % 251))).toBe(true);
    }
    await rings.close();
    expect(guest.grants.mapped).toBe(0);
  });

  it('where a map is refused; the next request has it tried again', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    guest.grants.failNextMap = true;
    guest.data(3).fill(3);
    write(guest, 1, pages(4));
    guest.go();
    expect(guest.grants.batches).toEqual([4]);
    expect(disk.disk.subarray(3 * PAGE, 4 * PAGE).equals(guest.data(3))).toBe(true);
    expect(rings.counters.persistentGrants).toBe(0);
    write(guest, 2, pages(4));
    guest.go();
    expect(statuses(guest)).toEqual({ 1: 0, 2: 0 });
    expect([guest.grants.batches.length, maps(guest)]).toEqual([1, [4, 4]]);
    await rings.close();
  });

  it('where a page was granted for reading: it is written from, and not read into', async () => {
    const guest = persistentGuest();
    const disk = new FakeBlockDevice();
    const rings = open(guest, disk);
    guest.grants.protect(guest.address.queues[0].ringRefs.length);
    guest.data(0).fill(0x11);
    write(guest, 1, pages(2));
    guest.go();
    disk.disk.fill(0x22, 0, PAGE);
    read(guest, 2, pages(2));
    read(guest, 3, pages(2, 2));
    guest.go();
    expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY, 2: BLKIF_RSP_ERROR, 3: BLKIF_RSP_OKAY });
    expect(guest.data(0).equals(Buffer.alloc(PAGE, 0x11))).toBe(true);
    expect(guest.data(2).equals(Buffer.alloc(PAGE, 0x22))).toBe(true);
    expect(rings.counters.copiesFailed).toBe(1);
    await rings.close();
  });

  it('and where that fails as a whole, only those that took part fail', async () => {
    const guest = persistentGuest();
    const rings = open(guest, new FakeBlockDevice());
    write(guest, 1, pages(3));
    guest.go();
    guest.revoke(9);
    for (const put of [write, read]) {
      guest.grants.failNext = true;
      put(guest, 2, pages(3));
      put(guest, 3, [{ page: 1 }, { page: 9 }]);
      guest.go();
      expect(statuses(guest)).toMatchObject({ 2: BLKIF_RSP_OKAY, 3: BLKIF_RSP_ERROR });
    }
    await rings.close();
  });
});

it('maps nothing of a guest that has not agreed', async () => {
  const guest = newGuest();
  const rings = open(guest, new FakeBlockDevice());
  write(guest, 1, SCATTERED);
  guest.putIndirect(2, { indirectOperation: BLKIF_OP_READ, sector: 0 }, pages(40), 1000);
  guest.go();
  expect(statuses(guest)).toEqual({ 1: 0, 2: 0 });
  expect(maps(guest)).toEqual([]);
  expect(rings.counters.persistentGrants).toBe(0);
  await rings.close();
});

describe('a guest that names ever new references', () => {
  it('which it did not grant, costs a few maps that fail, and its other requests nothing', async () => {
    const guest = persistentGuest();
    const rings = open(guest, new FakeBlockDevice());
    write(guest, 1, pages(4));
    guest.go();
    const ungranted = fc.integer({ min: 2 ** 20, max: 2 ** 32 - 1 });
    for (const ref of fc.sample(ungranted, { numRuns: 3000, seed: 20_261_122 })) {
      // Whatever number of a page leads to that reference.
      write(guest, 2, [{ page: ref - guest.ref(0) }]);
      guest.go();
      guest.answers();
    }
    expect(rings.counters.copiesFailed).toBe(3000);
    expect(maps(guest).length).toBe(1 + PERSISTENT_MAP_FAILURES_MAX);
    expect(rings.counters.persistentGrants).toBe(4);
    // What was mapped before is used on, and what is new goes by copy.
    const copies = guest.grants.batches.length;
    write(guest, 3, pages(4));
    guest.go();
    expect(guest.grants.batches.length).toBe(copies);
    write(guest, 4, pages(4, 10));
    guest.go();
    expect(statuses(guest)).toEqual({ 3: 0, 4: 0 });
    expect(maps(guest).length).toBe(1 + PERSISTENT_MAP_FAILURES_MAX);
    await rings.close();
  });

  it('which it did grant, one by one, has as many mapped as any', async () => {
    const guest = persistentGuest();
    const rings = open(guest, new FakeBlockDevice());
    for (let page = 0; page < 2000; page++) {
      read(guest, 1, [{ page }]);
      guest.go();
      guest.answers();
    }
    expect(rings.counters).toMatchObject({
      persistentGrants: PERSISTENT_GRANTS_MAX,
      copiesFailed: 0,
    });
    expect(maps(guest)).toEqual(new Array(PERSISTENT_GRANTS_MAX).fill(1));
    await rings.close();
    expect(guest.grants.mapped).toBe(0);
  });

  it('the same one again and again within a request, has it mapped once', async () => {
    const guest = persistentGuest();
    const rings = open(guest, new FakeBlockDevice());
    write(guest, 1, new Array<Segment>(11).fill({ page: 4 }));
    guest.go();
    expect([statuses(guest), maps(guest)]).toEqual([{ 1: BLKIF_RSP_OKAY }, [1]]);
    await rings.close();
  });
});

it('a process that comes after another maps anew what its requests name', async () => {
  const guest = persistentGuest();
  const died = open(guest, new FakeBlockDevice({ manual: true }));
  for (const { page } of SCATTERED) guest.data(page).fill(page);
  write(guest, 1, SCATTERED);
  read(guest, 2, pages(3, 100), 1024);
  guest.go();
  expect(died.counters.persistentGrants).toBe(9);
  guest.processDies();
  guest.grants.maps.length = 0;
  const disk = new FakeBlockDevice();
  disk.disk.fill(0x77, 1024 * SECTOR);
  const rings = open(guest, disk, true);
  expect(statuses(guest)).toEqual({ 1: BLKIF_RSP_OKAY, 2: BLKIF_RSP_OKAY });
  const expected = contents(guest, SCATTERED);
  expect(disk.disk.subarray(0, expected.length).equals(expected)).toBe(true);
  expect(guest.data(101).equals(Buffer.alloc(PAGE, 0x77))).toBe(true);
  expect([maps(guest), guest.grants.batches]).toEqual([[9], []]);
  expect(rings.counters.persistentGrants).toBe(9);
  await rings.close();
});

it('pages stay mapped until the last request has ended, and not longer', async () => {
  const guest = persistentGuest();
  const disk = new FakeBlockDevice({ manual: true });
  const { rings, stops } = serve(guest, disk);
  disk.disk.fill(0x33);
  read(guest, 1, SCATTERED);
  guest.go();
  const closed = rings.close();
  await new Promise((resolve) => setImmediate(resolve));
  expect(guest.grants.mapped).toBe(2);
  disk.completeAll();
  await closed;
  expect([guest.grants.mapped, stops, disk.leaked]).toEqual([0, [], 0]);
  expect(guest.data(1000).equals(Buffer.alloc(PAGE, 0x33))).toBe(true);
});
