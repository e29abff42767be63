/** The stand-in device between two processes: data, doorbells, deaths and reconnections. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
} from '../../lib/ring';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';
import { startBackEnd } from './back-end-child';
import { Child } from './child-process';
import { refusal } from './refusal';
import { FakeBlockDevice } from './fake-block-device';
import { temporaryDirectory } from './temporary-directory';
import { type GuestEnd, openGuest } from './waiting-guest';

const LARGE: ShmGeometry = {
  ...BLKTAP_GEOMETRY,
  ringPages: 4,
  addressing: 'page',
  dataPagesPerSlot: 65,
  indirectSegmentsMax: 64,
};

function makeDevice(geometry = BLKTAP_GEOMETRY): string {
  const directory = join(temporaryDirectory(), 'blktap1');
  ShmDevice.create(directory, geometry);
  return directory;
}

const opened: { close(): unknown }[] = [];

function serveHere(directory: string, disk = new FakeBlockDevice()): ShmFrontend {
  const frontend = ShmFrontend.open(directory, disk, { onStopped: () => undefined });
  frontend.start();
  opened.push(frontend);
  return frontend;
}

async function guestOf(directory: string): Promise<GuestEnd> {
  const end = await openGuest(directory);
  opened.push(end.guest);
  return end;
}

afterEach(async () => {
  for (const end of opened.splice(0).reverse()) await end.close();
});

test.each([
  ['blktap1', BLKTAP_GEOMETRY],
  ['blktap2', { ...BLKTAP_GEOMETRY, abi: 'blktap2' as const }],
  ['a 32-bit guest', { ...BLKTAP_GEOMETRY, abi: 'x86_32' as const, addressing: 'page' as const }],
  ['4 pages and indirect requests', LARGE],
])('a ring of %s carries data, flushes and discards', async (_, geometry) => {
  const directory = makeDevice(geometry);
  const disk = new FakeBlockDevice();
  serveHere(directory, disk);
  await roundTrip(directory, () => disk.disk);
});

test('segments of any shape go to their places in the pages', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice();
  serveHere(directory, disk);
  const statuses: number[] = [];
  const guest = await ShmGuest.open(directory, { completed: (_, status) => statuses.push(status) });
  opened.push(guest);
  const slot = guest.acquireSlot();
  guest.slotMemory(slot).fill('a', 512, 1024);
  guest.slotMemory(slot).fill('b', 4096 + 7 * 512, 8192);
  const first = Uint8Array.of(1, 7, 0);
  guest.submitShaped(slot, BLKIF_OP_WRITE, 3, 2, first, Uint8Array.of(1, 7, 0));
  guest.push();
  while (statuses.length < 1) await nextTurn();
  expect(disk.disk.toString('latin1', 1536, 2560)).toBe('a'.repeat(512) + 'b'.repeat(512));
  guest.submitShaped(slot, BLKIF_OP_WRITE, 3, 1, first, Uint8Array.of(0));
  guest.push();
  while (statuses.length < 2) await nextTurn();
  expect(statuses).toEqual([0, -1]);
});

test('a guest is told what is served', async () => {
  const directory = makeDevice();
  serveHere(directory, new FakeBlockDevice({ sectors: 777, readOnly: true }));
  const { guest } = await guestOf(directory);
  expect([guest.sectors, guest.readOnly]).toEqual([777, true]);
});

test('data, flushes and discards go to another process and back', async () => {
  const directory = makeDevice(LARGE);
  const diskPath = join(directory, '../disk');
  const child = startBackEnd(directory, diskPath);
  await child.line('serving');
  await roundTrip(directory, () => readFileSync(diskPath));
});

async function roundTrip(directory: string, disk: () => Buffer): Promise<void> {
  const { guest, ask } = await guestOf(directory);
  const sectors = Math.min(guest.sectorsMax, 200);
  for (let round = 0; round < 20; round++) {
    const slot = guest.acquireSlot();
    guest.slotMemory(slot).fill(round + 1, 0, sectors * 512);
    expect(await ask(slot, BLKIF_OP_WRITE, round * sectors, sectors)).toBe(0);
    guest.releaseSlot(slot);
  }
  const slot = guest.acquireSlot();
  expect(await ask(slot, BLKIF_OP_FLUSH_DISKCACHE, 0, 0)).toBe(0);
  guest.slotMemory(slot).fill(0);
  expect(await ask(slot, BLKIF_OP_READ, 7 * sectors, sectors)).toBe(0);
  expect(
    guest
      .slotMemory(slot)
      .subarray(0, sectors * 512)
      .every((byte) => byte === 8),
  ).toBe(true);
  expect(disk()[3 * sectors * 512]).toBe(4);
  expect(await ask(slot, BLKIF_OP_DISCARD, 3 * sectors, sectors)).toBe(0);
  expect(disk()[3 * sectors * 512]).toBe(0);
  expect(await ask(slot, BLKIF_OP_READ, 4096, 8)).toBe(-1);
}

test('a guest in another process is served, each after the other, by one back end', async () => {
  const directory = makeDevice();
  const frontend = serveHere(directory);
  for (const name of ['first', 'second']) {
    const child = new Child(`
      const { openGuest } = require('./test/frontend/waiting-guest.ts');
      openGuest(${JSON.stringify(directory)}).then(async ({ guest, ask }) => {
        const slot = guest.acquireSlot();
        guest.slotMemory(slot).write('${name}');
        if (await ask(slot, 1, 5, 1) !== 0) process.exit(1);
        console.log('written');
        process.on('SIGTERM', () => undefined);
        setInterval(() => undefined, 1000);
      });
    `);
    await child.line('written');
    await child.kill();
  }
  const { guest, ask } = await guestOf(directory);
  const slot = guest.acquireSlot();
  expect(await ask(slot, BLKIF_OP_READ, 5, 1)).toBe(0);
  expect(guest.slotMemory(slot).toString('latin1', 0, 6)).toBe('second');
  expect(frontend.stopped).toBeNull();
});

test('a guest that dies with requests in flight leaves the ring to the next one', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ manual: true });
  serveHere(directory, disk);
  const child = new Child(`
    const { openGuest } = require('./test/frontend/waiting-guest.ts');
    openGuest(${JSON.stringify(directory)}).then(({ guest, ask }) => {
      for (let i = 0; i < 5; i++) ask(guest.acquireSlot(), 0, i, 1);
      setInterval(() => undefined, 1000);
    });
  `);
  while (disk.waiting.length < 5) await nextTurn();
  await child.kill();
  const opening = guestOf(directory);
  // The old session's requests still run into the pages: the new ring must wait for them.
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  disk.completeAll();
  disk.manual = false;
  const { guest, ask } = await opening;
  expect(await ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1)).toBe(0);
  expect(disk.leaked).toBe(0);
});

test('a new guest waits for what the old one left in flight, before it makes its ring', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ manual: true });
  serveHere(directory, disk);
  const old = await guestOf(directory);
  for (let i = 0; i < 5; i++) void old.ask(old.guest.acquireSlot(), BLKIF_OP_READ, i, 1);
  while (disk.waiting.length < 5) await nextTurn();
  old.guest.close();
  const opening = guestOf(directory);
  // Before the back end can have heard of either: it still answers into the old ring.
  disk.completeAll();
  disk.manual = false;
  const { guest, ask, events } = await opening;
  expect(await ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1)).toBe(0);
  expect(events.broken).toEqual([]);
});

test('what a back end answered before it went is not asked again', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ manual: true });
  const first = serveHere(directory, disk);
  const { guest, ask } = await guestOf(directory);
  const answer = ask(guest.acquireSlot(), BLKIF_OP_WRITE, 0, 1);
  while (disk.waiting.length < 1) await nextTurn();
  disk.completeAll();
  await first.close();
  const next = new FakeBlockDevice();
  serveHere(directory, next);
  expect(await answer).toBe(0);
  expect(await ask(guest.acquireSlot(), BLKIF_OP_READ, 5, 1)).toBe(0);
  expect(next.seen).toMatchObject([{ sector: 5 }]);
});

test('every request is answered though the back end is killed again and again', async () => {
  const directory = makeDevice(LARGE);
  const diskPath = join(directory, '../disk');
  let child = startBackEnd(directory, diskPath, 1);
  await child.line('serving');
  const { guest, ask, events } = await guestOf(directory);
  const REQUESTS = 600;
  let written = 0;
  let kills = 0;
  const worker = async (first: number): Promise<void> => {
    for (let index = first; index < REQUESTS; index += 40) {
      const slot = guest.acquireSlot();
      guest.slotMemory(slot).fill((index % 255) + 1, 0, 512);
      expect(await ask(slot, BLKIF_OP_WRITE, index, 1)).toBe(0);
      guest.releaseSlot(slot);
      written++;
    }
  };
  const workers = Promise.all(Array.from({ length: 40 }, (_, first) => worker(first)));
  for (const quota of [100, 250, 400]) {
    while (written < quota) await nextTurn();
    await child.kill();
    kills++;
    expect(guest.inFlight()).toBeGreaterThan(0);
    child = startBackEnd(directory, diskPath, 1);
  }
  await workers;
  expect(events.lost).toBe(kills);
  expect(guest.inFlight()).toBe(0);
  const disk = readFileSync(diskPath);
  for (let index = 0; index < REQUESTS; index++) {
    expect([index, disk[index * 512]]).toEqual([index, (index % 255) + 1]);
  }
}, 30_000);

test('a back end that leaves in order is missed, and what was asked meanwhile is answered', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice();
  const first = serveHere(directory, disk);
  const { guest, ask, events } = await guestOf(directory);
  await first.close();
  const slot = guest.acquireSlot();
  const answer = ask(slot, BLKIF_OP_READ, 1, 1);
  while (events.lost === 0) await nextTurn();
  expect(guest.unanswered()).toEqual([slot]);
  serveHere(directory, disk);
  expect(await answer).toBe(0);
});

test('the caller can choose when to send again', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ manual: true });
  const first = serveHere(directory, disk);
  const answers: number[] = [];
  let reconnected = false;
  const guest = await ShmGuest.open(directory, {
    completed: (slot) => answers.push(slot),
    reconnected: () => (reconnected = true),
  });
  opened.push(guest);
  const slots = [guest.acquireSlot(), guest.acquireSlot(), guest.acquireSlot()];
  for (const slot of slots) guest.submit(slot, BLKIF_OP_READ, slot, 1);
  guest.push();
  while (disk.waiting.length < 3) await nextTurn();
  disk.complete(disk.waiting[1]);
  while (answers.length < 1) await nextTurn();
  disk.completeAll();
  await first.close();
  serveHere(directory, new FakeBlockDevice());
  while (!reconnected) await nextTurn();
  const left = guest.unanswered();
  expect(left.length).toBe(guest.inFlight());
  expect(guest.resubmit()).toBe(left.length);
  while (answers.length < 3) await nextTurn();
  expect([...answers].sort()).toEqual([...slots].sort());
});

test('only one back end and one guest can have a device', async () => {
  const directory = makeDevice();
  serveHere(directory);
  expect(refusal(() => serveHere(directory))).toMatchObject({
    code: 'SHM_IN_USE',
    message: expect.stringContaining(`process ${process.pid}`) as string,
  });
  await guestOf(directory);
  await expect(openGuest(directory)).rejects.toMatchObject({ code: 'SHM_IN_USE' });
});

test('a guest without a back end says so, and leaves the device usable', async () => {
  const directory = makeDevice();
  await expect(openGuest(directory, 50)).rejects.toMatchObject({ code: 'SHM_NO_BACK_END' });
  serveHere(directory);
  const { guest, ask } = await guestOf(directory);
  expect(await ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1)).toBe(0);
});

test('a paused back end takes up the ring when it is resumed', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice();
  const frontend = serveHere(directory, disk);
  frontend.pause();
  const { guest, ask } = await guestOf(directory);
  const answer = ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1);
  for (let turn = 0; turn < 50; turn++) await nextTurn();
  expect(disk.seen).toEqual([]);
  frontend.resume();
  expect(await answer).toBe(0);
});

test('a disk that grows is told to its guest, whose requests go on', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ sectors: 1024, manual: true });
  const frontend = serveHere(directory, disk);
  const { guest, ask, events } = await guestOf(directory);
  const answer = ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1);
  while (disk.waiting.length < 1) await nextTurn();
  disk.sectors = 2 ** 40 + 8;
  frontend.resized();
  while (guest.sectors === 1024) await nextTurn();
  expect(guest.sectors).toBe(2 ** 40 + 8);
  expect(events).toMatchObject({ lost: 0, resized: 1 });
  disk.completeAll();
  expect(await answer).toBe(0);
});

test('a disk that grew while no guest was there is told to the next one', async () => {
  const directory = makeDevice();
  const disk = new FakeBlockDevice({ sectors: 1024 });
  const frontend = serveHere(directory, disk);
  disk.sectors = 4096;
  frontend.resized();
  const { guest, events } = await guestOf(directory);
  expect(guest.sectors).toBe(4096);
  expect(events.resized).toBe(0);
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
