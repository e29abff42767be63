/** A hostile guest of a stand-in device, through real shared memory and real doorbells. */
import { appendFileSync, closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  ABI_NATIVE,
  BackRing,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  OPERATION_UNKNOWN,
  RingRequest,
  RingResponse,
} from '../../lib/ring';
import type { TapdiskError } from '../../lib/errors';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { readState, ShmSide } from '../../lib/frontend/shm/shm-side';
import { FakeBlockDevice } from './fake-block-device';
import { RawGuest } from './raw-guest';
import { temporaryDirectory } from './temporary-directory';
import { openGuest } from './waiting-guest';

const PAGES: ShmGeometry = { ...BLKTAP_GEOMETRY, addressing: 'page' };

let directory: string;
let disk: FakeBlockDevice;
let guest: RawGuest;
let frontend: ShmFrontend;
let stops: TapdiskError[];

function begin(geometry: ShmGeometry = PAGES): void {
  directory = join(temporaryDirectory(), 'ring');
  ShmDevice.create(directory, geometry);
  disk = new FakeBlockDevice();
  stops = [];
  guest = new RawGuest(directory);
  frontend = ShmFrontend.open(directory, disk, { onStopped: (reason) => stops.push(reason) });
  frontend.start();
}

afterEach(async () => {
  await frontend.close();
  guest.close();
});

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

function put(fields: Partial<RingRequest>, page = 0): void {
  const request = Object.assign(new RingRequest(), { nrSegments: 1, ...fields });
  request.segmentCount = 1;
  request.gref[0] = page;
  request.lastSect[0] = 7;
  guest.ring.put(request);
}

function go(): void {
  guest.ring.push();
  guest.doorbell.ring();
}

async function answers(count: number): Promise<{ id: number; status: number }[]> {
  const got: { id: number; status: number }[] = [];
  const response = new RingResponse();
  while (got.length < count) {
    while (guest.ring.next(response)) got.push({ id: response.idLow, status: response.status });
    await turn();
  }
  return got;
}

test('each bad request gets its refusal, and the good ones beside it their data', async () => {
  begin();
  disk.disk.fill('d');
  put({ idLow: 1, nrSegments: 0 });
  put({ idLow: 2, nrSegments: 12 });
  put({ idLow: 3, sector: 2 ** 53 - 1 });
  put({ idLow: 4, operation: OPERATION_UNKNOWN, wireOperation: 0xee });
  put({ idLow: 5, sector: 8 }, 17);
  put({ idLow: 6 }, 352);
  put({ idLow: 7, operation: BLKIF_OP_WRITE }, 0xfffffff0);
  put({ idLow: 1, sector: 4089 });
  go();
  const got = (await answers(8)).sort((a, b) => a.id - b.id);
  expect(got.map(({ id, status }) => `${id}:${status}`)).toEqual([
    '1:-1',
    '1:-1',
    '2:-1',
    '3:-1',
    '4:-2',
    '5:0',
    '6:-1',
    '7:-1',
  ]);
  expect(guest.dataPage(17).toString('latin1', 0, 8)).toBe('dddddddd');
  expect(disk.seen).toHaveLength(1);
  expect(stops).toEqual([]);
});

test('sector numbers near 2^64 are refused', async () => {
  begin();
  put({ idLow: 1 });
  guest.ringBytes.fill(0xff, 64 + 16, 64 + 24);
  go();
  expect(await answers(1)).toEqual([{ id: 1, status: -1 }]);
});

test('an index that runs away stops the ring; a fresh ring is served again', async () => {
  begin();
  guest.ringBytes.writeUInt32LE(0x80000000, 0);
  guest.doorbell.ring();
  await until(() => stops.length > 0);
  expect(stops.map(({ code }) => code)).toEqual(['RING_PRODUCER_OVERFLOW']);
  expect(frontend.stopped?.code).toBe('RING_PRODUCER_OVERFLOW');
  guest.leave();
  await until(() => guest.backEndState() === 'waiting');
  guest.makeRing();
  put({ idLow: 1 });
  go();
  expect(await answers(1)).toEqual([{ id: 1, status: 0 }]);
  expect(frontend.stopped).toBeNull();
});

test('a ring that its guest has left is neither read nor written any more', async () => {
  begin();
  disk.manual = true;
  put({ idLow: 1 });
  go();
  await until(() => disk.waiting.length === 1);
  guest.leave();
  for (let turns = 0; turns < 10; turns++) await turn();
  put({ idLow: 2 });
  go();
  for (let turns = 0; turns < 10; turns++) await turn();
  expect(disk.waiting).toHaveLength(1);
  expect(guest.backEndState()).toBe('connected');
  disk.completeAll();
  await until(() => guest.backEndState() === 'waiting');
  expect(guest.ringBytes.readUInt32LE(8)).toBe(0);
});

test.each([0xffffffff, 33, 64])('req_prod %i stops the ring', async (index) => {
  begin();
  guest.ringBytes.writeUInt32LE(index, 0);
  guest.doorbell.ring();
  await until(() => stops.length > 0);
  expect(disk.seen).toEqual([]);
});

test('a ring whose ids are slots is stopped by an id in flight', async () => {
  begin(BLKTAP_GEOMETRY);
  disk.manual = true;
  put({ idLow: 3 });
  put({ idLow: 3 });
  go();
  await until(() => stops.length > 0);
  expect(stops.map(({ code }) => code)).toEqual(['RING_ID_IN_FLIGHT']);
  disk.completeAll();
  expect(guest.ringBytes.readUInt32LE(8)).toBe(0);
});

test('a request rewritten after it was taken, and its page, change only what the page holds', async () => {
  begin();
  disk.manual = true;
  put({ idLow: 1, operation: BLKIF_OP_WRITE, sector: 8 }, 2);
  go();
  await until(() => disk.waiting.length === 1);
  guest.ringBytes.fill(0xff, 64);
  disk.completeAll();
  expect(await answers(1)).toEqual([{ id: 1, status: 0 }]);
  expect(disk.seen).toEqual([{ operation: 1, sector: 8, sectorCount: 8, runs: 1 }]);
});

test('garbage in the doorbells is only a doorbell', async () => {
  begin();
  const fifo = openSync(join(directory, 'to-back'), constants.O_RDWR | constants.O_NONBLOCK);
  const garbage = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 31) % 256));
  for (let i = 0; i < 8; i++) writeSync(fifo, garbage);
  put({ idLow: 9 });
  guest.ring.push();
  writeSync(fifo, garbage);
  closeSync(fifo);
  expect(await answers(1)).toEqual([{ id: 9, status: 0 }]);
  expect(stops).toEqual([]);
});

test('a doorbell that nobody hears does not stop the one who rings', () => {
  begin();
  for (let ring = 0; ring < 70_000; ring++) guest.doorbell.ring();
  expect(stops).toEqual([]);
});

test.each([
  ['not JSON', '{'],
  ['another version', '{"version":2,"pid":1,"session":9,"state":"connected"}'],
  ['a session that is no number', '{"version":1,"pid":1,"session":"9","state":"connected"}'],
  ['nothing', ''],
])('a state file that is %s is not followed', async (_, text) => {
  begin();
  writeFileSync(join(directory, 'frontend.json'), text);
  guest.doorbell.ringState();
  put({ idLow: 2 });
  go();
  expect(await answers(1)).toEqual([{ id: 2, status: 0 }]);
});

test.each([
  ['an id that was not asked', 30, BLKIF_OP_READ, 'request 30, which is not in flight'],
  ['an id beyond the slots', 5000, BLKIF_OP_READ, 'request 5000, which is not in flight'],
  ['another operation', 0, BLKIF_OP_WRITE, 'operation 0 of request 0 as 1'],
])('a back end that answers %s is not believed', async (_, id, operation, why) => {
  begin();
  guest.leave();
  await frontend.close();
  guest.close();
  const device = ShmDevice.open(directory);
  const side = ShmSide.take(device, 'back');
  const opening = openGuest(directory);
  await until(() => readState(device, 'front')?.state === 'connected');
  const { session } = readState(device, 'front')!;
  side.announce(session, 'connected');
  const { guest: honest, ask, events } = await opening;
  const mapping = device.map();
  try {
    const ring = new BackRing(mapping.bytes.subarray(0, 4096), ABI_NATIVE, 1);
    expect(honest.acquireSlot()).toBe(0);
    void ask(0, BLKIF_OP_READ, 0, 1);
    expect(ring.next(new RingRequest())).toBe(true);
    ring.respond(id, 0, operation, 0);
    ring.push();
    expect(honest.poll()).toBe(0);
    expect(events.broken).toHaveLength(1);
    expect(events.broken[0]).toContain(why);
    expect(honest.broken?.code).toBe('SHM_BACK_END_BROKEN');
  } finally {
    honest.close();
    mapping.unmap();
    side.release();
  }
});

test('a state file of more than a page is not read', async () => {
  begin();
  appendFileSync(join(directory, 'frontend.json'), ' '.repeat(5000));
  guest.doorbell.ringState();
  put({ idLow: 2 });
  go();
  expect(await answers(1)).toEqual([{ id: 2, status: 0 }]);
});
