/** What a ring server does with what is on its ring, between a VBD and a front end in one memory. */
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  OPERATION_UNKNOWN,
  RingRequest,
} from '../../lib/ring';
import { REQUESTS_PER_WAKEUP_MAX } from '../../lib/frontend/limits';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  STATUS_EOPNOTSUPP,
  STATUS_ERROR,
  STATUS_OKAY,
} from '../../lib/vbd/request';
import { FakeBlockDevice } from './fake-block-device';
import { RingRig } from './ring-rig';

const PAGES: ShmGeometry = { ...BLKTAP_GEOMETRY, addressing: 'page' };
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('requests', () => {
  test('are read into and written from the data pages of their slot', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    rig.dataPage(3 * 11).fill('a');
    rig.dataPage(3 * 11 + 1).fill('b');
    rig.put(3, { operation: BLKIF_OP_WRITE, sector: 16 }, [0, 0]);
    rig.go();
    expect(rig.answers()).toEqual([{ id: 3, operation: BLKIF_OP_WRITE, status: STATUS_OKAY }]);
    expect(disk.disk.toString('latin1', 16 * 512, 32 * 512)).toBe(
      'a'.repeat(4096) + 'b'.repeat(4096),
    );

    rig.put(9, { operation: BLKIF_OP_READ, sector: 24 });
    rig.go();
    expect(rig.answers()).toEqual([{ id: 9, operation: BLKIF_OP_READ, status: STATUS_OKAY }]);
    expect(rig.dataPage(9 * 11).toString('latin1')).toBe('b'.repeat(4096));
  });

  test('have their neighbouring segments merged to one run', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, PAGES);
    rig.put(1, {}, [5, 6, 7, 9, 10, 3]);
    rig.go();
    expect(disk.seen).toEqual([{ operation: BLKIF_OP_READ, sector: 0, sectorCount: 48, runs: 3 }]);
  });

  test('keep segments apart that do not touch within their pages', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, PAGES);
    const request = new RingRequest();
    request.operation = BLKIF_OP_WRITE;
    request.nrSegments = request.segmentCount = 3;
    request.gref.set([4, 5, 6]);
    request.firstSect.set([2, 0, 1]);
    request.lastSect.set([7, 6, 1]);
    rig.dataPage(4).fill('x', 1024);
    rig.dataPage(5).fill('y', 0, 3584);
    rig.dataPage(6).fill('z', 512, 1024);
    rig.putRaw(request);
    rig.go();
    expect(disk.seen[0]).toMatchObject({ sectorCount: 14, runs: 2 });
    expect(disk.disk.toString('latin1', 0, 14 * 512)).toBe(
      'x'.repeat(3072) + 'y'.repeat(3584) + 'z'.repeat(512),
    );
  });

  test('that flush, order and discard reach the VBD as such', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    rig.put(0, { operation: BLKIF_OP_FLUSH_DISKCACHE, sector: 12345 }, []);
    rig.put(1, { operation: BLKIF_OP_WRITE_BARRIER, sector: 8 });
    rig.put(2, { operation: BLKIF_OP_DISCARD, sector: 3, nrSectors: 77 }, []);
    rig.go();
    expect(disk.seen).toEqual([
      { operation: REQUEST_FLUSH, sector: 0, sectorCount: 0, runs: 0 },
      { operation: REQUEST_BARRIER, sector: 8, sectorCount: 8, runs: 1 },
      { operation: REQUEST_DISCARD, sector: 3, sectorCount: 77, runs: 0 },
    ]);
    expect(rig.answers().map(({ status }) => status)).toEqual([0, 0, 0]);
  });

  test('are answered as they end, in any order, with their own status', () => {
    const disk = new FakeBlockDevice({ manual: true });
    const rig = new RingRig(disk);
    for (const id of [0, 1, 2, 3]) rig.put(id, { sector: id * 8 });
    rig.go();
    const [first, second, third, fourth] = disk.waiting;
    disk.complete(third, STATUS_ERROR);
    disk.complete(first);
    disk.complete(fourth, STATUS_EOPNOTSUPP);
    disk.complete(second);
    expect(rig.answers()).toEqual([
      { id: 2, operation: 0, status: STATUS_ERROR },
      { id: 0, operation: 0, status: STATUS_OKAY },
      { id: 3, operation: 0, status: STATUS_EOPNOTSUPP },
      { id: 1, operation: 0, status: STATUS_OKAY },
    ]);
    expect(disk.leaked).toBe(0);
  });

  test('that end together are pushed and told of once', () => {
    const disk = new FakeBlockDevice({ manual: true });
    const rig = new RingRig(disk);
    for (let id = 0; id < 8; id++) rig.put(id);
    rig.go();
    expect(disk.kicks).toBe(1);
    disk.completeAll();
    expect(rig.kicks).toBe(1);
    expect(rig.answers()).toHaveLength(8);
  });

  test("carry a 64-bit id back where ids are the front end's own", () => {
    const rig = new RingRig(new FakeBlockDevice(), PAGES);
    rig.put(0xfffffffe, { idHigh: 0x80000001 }, [0]);
    rig.go();
    expect(rig.answers()).toEqual([{ id: 0xfffffffe, operation: 0, status: STATUS_OKAY }]);
  });

  test('go on over many turns of the ring', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    for (let round = 0; round < 50; round++) {
      for (let id = 0; id < 32; id++) rig.put(id, { sector: id });
      rig.go();
      expect(rig.answers().map(({ id }) => id)).toEqual(Array.from({ length: 32 }, (_, id) => id));
    }
    expect(rig.counters).toMatchObject({ requests: 1600, responses: 1600, refused: 0 });
    expect(disk.leaked).toBe(0);
  });
});

describe('indirect requests', () => {
  const INDIRECT: ShmGeometry = {
    ...PAGES,
    ringPages: 2,
    dataPagesPerSlot: 65,
    indirectSegmentsMax: 64,
  };

  function indirect(rig: RingRig, segments: number, page: number): RingRequest {
    const request = new RingRequest();
    request.segmentCount = segments;
    for (let segment = 0; segment < segments; segment++) {
      request.gref[segment] = 100 + segment;
      request.lastSect[segment] = 7;
    }
    if (segments <= 64) request.encodeIndirectSegments(rig.dataPage(page));
    Object.assign(request, {
      operation: 6,
      indirectOperation: BLKIF_OP_WRITE,
      nrSegments: segments,
      sector: 8,
      idLow: 77,
    });
    request.indirectGrefs[0] = page;
    return request;
  }

  test('move up to their limit, and are answered with the inner operation', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, INDIRECT);
    for (let segment = 0; segment < 64; segment++) rig.dataPage(100 + segment).fill(segment + 1);
    rig.putRaw(indirect(rig, 64, 7));
    rig.go();
    expect(rig.answers()).toEqual([{ id: 77, operation: BLKIF_OP_WRITE, status: STATUS_OKAY }]);
    expect(disk.seen).toEqual([{ operation: 1, sector: 8, sectorCount: 512, runs: 1 }]);
    for (let segment = 0; segment < 64; segment++) {
      expect(disk.disk[(1 + segment) * 4096]).toBe(segment + 1);
    }
  });

  test.each([
    ['more segments than offered', { nrSegments: 65 }],
    ['no segment', { nrSegments: 0 }],
    ['an inner operation that moves nothing', { indirectOperation: BLKIF_OP_DISCARD }],
  ])('with %s are refused', (_, fields) => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, INDIRECT);
    rig.putRaw(Object.assign(indirect(rig, 4, 7), fields));
    rig.go();
    expect(rig.answers()).toMatchObject([{ id: 77, status: STATUS_ERROR }]);
    expect(disk.seen).toEqual([]);
  });

  test('whose page, or a segment in it, lies outside the data area are refused', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, INDIRECT);
    const outside = indirect(rig, 4, 7);
    outside.indirectGrefs[0] = 64 * 65;
    rig.putRaw(outside);
    const inside = indirect(rig, 4, 9);
    rig.dataPage(9).writeUInt32LE(0xffffffff, 16);
    rig.putRaw(inside);
    rig.go();
    expect(rig.answers().map(({ status }) => status)).toEqual([STATUS_ERROR, STATUS_ERROR]);
    expect(disk.seen).toEqual([]);
  });

  test('are not understood where they were not offered', () => {
    const rig = new RingRig(new FakeBlockDevice(), PAGES);
    rig.putRaw(indirect(rig, 4, 7));
    rig.go();
    expect(rig.answers()).toMatchObject([{ id: 77, status: STATUS_EOPNOTSUPP }]);
  });
});

describe('a hostile front end', () => {
  const BEYOND = 2 ** 53 - 1;
  test.each([
    ['no segment', { nrSegments: 0 }, STATUS_ERROR],
    ['12 segments', { nrSegments: 12 }, STATUS_ERROR],
    ['255 segments', { nrSegments: 255 }, STATUS_ERROR],
    ['a sector beyond the end', { sector: 4096 }, STATUS_ERROR],
    ['a sector just before the end', { sector: 4095 }, STATUS_ERROR],
    ['a sector near 2^53', { sector: BEYOND }, STATUS_ERROR],
    ['a discard beyond the end', { operation: BLKIF_OP_DISCARD, nrSectors: 4097 }, STATUS_ERROR],
    ['a discard of nothing', { operation: BLKIF_OP_DISCARD, nrSectors: 0 }, STATUS_ERROR],
    ['a packet', { operation: OPERATION_UNKNOWN, wireOperation: 4 }, STATUS_EOPNOTSUPP],
    [
      'an unknown operation',
      { operation: OPERATION_UNKNOWN, wireOperation: 255 },
      STATUS_EOPNOTSUPP,
    ],
  ])('gets one refusal for %s', (_, fields, status) => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    rig.put(5, fields);
    rig.go();
    expect(rig.answers()).toEqual([{ id: 5, operation: expect.any(Number) as number, status }]);
    expect(disk.seen).toEqual([]);
    expect(disk.leaked).toBe(0);
    expect(rig.stops).toEqual([]);
  });

  test.each([
    ['first beyond last', 5, 4],
    ['last beyond the page', 0, 8],
    ['both beyond the page', 200, 255],
  ])('gets an error for a segment with %s', (_, first, last) => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    const request = new RingRequest();
    request.operation = BLKIF_OP_WRITE;
    request.nrSegments = request.segmentCount = 2;
    request.lastSect[0] = 7;
    request.firstSect[1] = first;
    request.lastSect[1] = last;
    rig.putRaw(request);
    rig.go();
    expect(rig.answers()).toMatchObject([{ status: STATUS_ERROR }]);
    expect(disk.seen).toEqual([]);
  });

  test('gets an error for a page outside the data area', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk, PAGES);
    rig.put(0, {}, [351]);
    rig.put(1, {}, [352]);
    rig.put(2, {}, [0xffffffff]);
    rig.go();
    expect(
      rig
        .answers()
        .map(({ status }) => status)
        .sort(),
    ).toEqual([-1, -1, 0]);
    expect(disk.seen).toHaveLength(1);
  });

  test('cannot change a request that was taken', () => {
    const disk = new FakeBlockDevice({ manual: true });
    const rig = new RingRig(disk, PAGES);
    rig.put(1, { operation: BLKIF_OP_WRITE, sector: 8 }, [2]);
    rig.go();
    rig.memory.fill(0xff, 64, 4096);
    rig.dataPage(2).fill('q');
    disk.completeAll();
    expect(rig.answers()).toEqual([{ id: 1, operation: BLKIF_OP_WRITE, status: STATUS_OKAY }]);
    expect(disk.disk.toString('latin1', 4096, 4100)).toBe('qqqq');
  });

  test('that runs its producer index away stops its ring, and hears nothing any more', () => {
    const disk = new FakeBlockDevice({ manual: true });
    const rig = new RingRig(disk);
    rig.put(0);
    rig.put(1);
    rig.go();
    rig.memory.writeUInt32LE(34, 0);
    rig.server.wake();
    expect(rig.stops.map(({ code }) => code)).toEqual(['RING_PRODUCER_OVERFLOW']);
    expect(rig.server.stopped?.message).toMatch(/producer overflow/);
    disk.completeAll();
    expect(rig.memory.readUInt32LE(8)).toBe(0);
    expect(rig.kicks).toBe(0);
    rig.server.wake();
    expect(rig.stops).toHaveLength(1);
    expect(disk.leaked).toBe(0);
    expect(rig.server.inFlight).toBe(0);
  });

  test.each([
    ['an id that is no slot', { idLow: 32 }, 'RING_ID_OUT_OF_RANGE'],
    ['an id with a high half', { idHigh: 1 }, 'RING_ID_OUT_OF_RANGE'],
    ['an id in flight', { idLow: 0 }, 'RING_ID_IN_FLIGHT'],
  ])('stops a ring whose ids are slots by %s', (_, fields, code) => {
    const disk = new FakeBlockDevice({ manual: true });
    const rig = new RingRig(disk);
    rig.put(0);
    rig.put(1, fields);
    rig.put(2);
    rig.go();
    expect(rig.stops.map((stop) => stop.code)).toEqual([code]);
    const page = Buffer.from(rig.memory.subarray(0, 4096));
    disk.completeAll();
    expect(rig.memory.subarray(0, 4096).equals(page)).toBe(true);
    expect(rig.answers()).toEqual([]);
    expect(rig.kicks).toBe(0);
    expect(disk.leaked).toBe(0);
  });

  test('hears nothing of earlier refusals once its ring is stopped', () => {
    const rig = new RingRig(new FakeBlockDevice());
    rig.put(0, { nrSegments: 0 });
    rig.put(40);
    rig.go();
    expect(rig.stops).toHaveLength(1);
    expect(rig.answers()).toEqual([]);
    expect(rig.kicks).toBe(0);
  });

  test('may reuse an id once it was answered, even by a refusal', () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    rig.put(4, { nrSegments: 0 });
    rig.go();
    rig.put(4);
    rig.go();
    expect(rig.answers().map(({ status }) => status)).toEqual([STATUS_ERROR, STATUS_OKAY]);
    expect(rig.stops).toEqual([]);
  });

  test('that always has one more request does not keep the event loop', async () => {
    const disk = new FakeBlockDevice();
    const rig = new RingRig(disk);
    let endless = true;
    rig.onPoll = () => {
      rig.answers();
      while (endless && rig.front.free > 0) rig.put(rig.front.inFlight, { sector: 0 });
      rig.front.push();
    };
    rig.server.wake();
    expect(rig.counters.requests).toBe(REQUESTS_PER_WAKEUP_MAX);
    await nextTurn();
    expect(rig.counters.requests).toBe(2 * REQUESTS_PER_WAKEUP_MAX);
    endless = false;
    await nextTurn();
    await nextTurn();
    rig.answers();
    expect(rig.counters.responses).toBe(rig.counters.requests);
  });
});
