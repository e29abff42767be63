/** One disk on several rings: data, order across queues, a queue that breaks, and the end. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
} from '../../lib/ring';
import type { TapdiskError } from '../../lib/errors';
import type { Frontend } from '../../lib/frontend/frontend';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { createStandIn, removeStandIn, ringsOfStandIn } from '../../lib/frontend/shm/shm-queues';
import { ShmQueuesFrontend } from '../../lib/frontend/shm/shm-queues-frontend';
import { isTaken, ShmSide } from '../../lib/frontend/shm/shm-side';
import type { BlockDevice } from '../../lib/vbd/block-device';
import { REQUEST_BARRIER, REQUEST_READ, REQUEST_WRITE } from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { VolumeOnDoubles } from '../volume/volume-on-doubles';
import { FakeBlockDevice } from './fake-block-device';
import { RawGuest } from './raw-guest';
import { refusal } from './refusal';
import { temporaryDirectory } from './temporary-directory';
import { type GuestEnd, openGuest } from './waiting-guest';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

const TURNS_MAX = 2000;

async function until(condition: () => boolean): Promise<void> {
  for (let left = TURNS_MAX; !condition(); left--) {
    if (left === 0) throw new Error(`never: ${condition.toString()}`);
    await turn();
  }
}

function make(queues: number): string {
  const directory = join(temporaryDirectory(), 'blktap1');
  createStandIn(directory, BLKTAP_GEOMETRY, queues);
  return directory;
}

function serve(directory: string, disk: BlockDevice, stops: TapdiskError[] = []): Frontend {
  const onStopped = (reason: TapdiskError): number => stops.push(reason);
  const frontend = ShmQueuesFrontend.open(directory, disk, { onStopped });
  frontend.start();
  cleanUps.push(() => frontend.close());
  return frontend;
}

async function guestsOf(directory: string): Promise<GuestEnd[]> {
  const ends = await Promise.all(ringsOfStandIn(directory).map((place) => openGuest(place)));
  for (const { guest } of ends) cleanUps.push(() => guest.close());
  return ends;
}

describe('the device', () => {
  test('has one ring in its own directory, or several below it', () => {
    const one = make(1);
    expect(ringsOfStandIn(one)).toEqual([one]);
    const three = make(3);
    expect(ringsOfStandIn(three)).toEqual([0, 1, 2].map((queue) => join(three, `queue-${queue}`)));
    for (const place of ringsOfStandIn(three)) {
      expect(ShmDevice.open(place).geometry).toEqual(BLKTAP_GEOMETRY);
    }
    removeStandIn(three);
    expect(existsSync(three)).toBe(false);
  });

  test('is refused where it cannot be', () => {
    const taken = make(2);
    const making = (place: string, queues: number): string =>
      refusal(() => createStandIn(place, BLKTAP_GEOMETRY, queues)).code;
    expect(making(taken, 2)).toBe('SHM_DEVICE_EXISTS');
    expect(making(taken, 1)).toBe('SHM_DEVICE_EXISTS');
    expect(making(join(taken, 'no/where'), 2)).toBe('SHM_CREATE_FAILED');
    expect(making(join(taken, 'many'), 17)).toBe('SHM_DEVICE_INVALID');
    const opening = (): string => refusal(() => ringsOfStandIn(taken)).code;
    chmodSync(taken, 0o755);
    expect(opening()).toBe('SHM_DEVICE_FORBIDDEN');
    chmodSync(taken, 0o700);
    for (const wrong of ['{"version":2,"queues":1}', '{"version":2,"queues":2,"more":1}']) {
      writeFileSync(join(taken, 'device.json'), wrong);
      expect(opening()).toBe('SHM_DEVICE_INVALID');
    }
  });

  test('that could not be made wholly is not left behind in part', () => {
    const directory = join(temporaryDirectory(), 'blktap1');
    const wrong = { ...BLKTAP_GEOMETRY, ringPages: 3 };
    expect(refusal(() => createStandIn(directory, wrong, 2)).code).toBe('SHM_DEVICE_INVALID');
    expect(existsSync(directory)).toBe(false);
  });

  test('is served with all of its rings or with none', () => {
    const directory = make(3);
    const [first, second] = ringsOfStandIn(directory).map((place) => ShmDevice.open(place));
    const other = ShmSide.take(second, 'back');
    cleanUps.push(() => other.release());
    const open = (): unknown =>
      ShmQueuesFrontend.open(directory, new FakeBlockDevice(), { onStopped: () => undefined });
    expect(refusal(open).code).toBe('SHM_IN_USE');
    expect(isTaken(first, 'back')).toBe(false);
  });

  test('of which a ring is missing is refused', () => {
    const directory = make(2);
    removeStandIn(join(directory, 'queue-1'));
    mkdirSync(join(directory, 'queue-1'), { mode: 0o700 });
    expect(refusal(() => serve(directory, new FakeBlockDevice())).code).toBe(
      'SHM_DEVICE_NOT_FOUND',
    );
  });
});

test('what one queue wrote the others read; counters are of all', async () => {
  const directory = make(4);
  const frontend = serve(directory, new FakeBlockDevice());
  const guests = await guestsOf(directory);
  for (const [queue, { guest, ask }] of guests.entries()) {
    const slot = guest.acquireSlot();
    guest.slotMemory(slot).fill(queue + 1, 0, 512);
    expect(await ask(slot, BLKIF_OP_WRITE, queue, 1)).toBe(0);
  }
  for (const { guest, ask } of guests) {
    const slot = guest.acquireSlot();
    expect(await ask(slot, BLKIF_OP_READ, 0, 4)).toBe(0);
    const read = [0, 1, 2, 3].map((sector) => guest.slotMemory(slot)[sector * 512]);
    expect(read).toEqual([1, 2, 3, 4]);
  }
  expect(frontend.counters).toMatchObject({ requests: 8, responses: 8, refused: 0 });
  expect(frontend.inFlight).toBe(0);
  expect(frontend.steadyMemory).toHaveLength(4);
});

describe('order across queues', () => {
  interface Opened {
    readonly disk: VolumeOnDoubles;
    readonly frontend: Frontend;
    /** Operations in the order in which they ended. */
    readonly ended: number[];
    readonly guests: GuestEnd[];
    readonly log: string[];
  }

  async function open(): Promise<Opened> {
    const disk = await VolumeOnDoubles.open();
    const vbd = new Vbd(disk.volume);
    const directory = make(2);
    const frontend = serve(directory, vbd);
    const guests = await guestsOf(directory);
    const log: string[] = [];
    const ended: number[] = [];
    // The chunk is there before, so that a write is one operation of the store.
    const first = send(guests[0], log, 'first', BLKIF_OP_WRITE);
    await letUntil(disk, first);
    log.length = 0;
    vbd.observer = {
      requestStarted: () => undefined,
      requestEnded: ({ operation }) => ended.push(operation),
    };
    return { disk, frontend, ended, guests, log };
  }

  function send(
    { guest, ask }: GuestEnd,
    log: string[],
    name: string,
    operation: number,
    sectors = 1,
  ): Promise<void> {
    const slot = guest.acquireSlot();
    return ask(slot, operation, 0, sectors).then((status) => {
      log.push(`${name} ${status}`);
    });
  }

  async function letUntil(disk: VolumeOnDoubles, ended: Promise<void>): Promise<void> {
    let isOver = false;
    void ended.then(() => (isOver = true));
    await until(() => {
      disk.letAll();
      return isOver;
    });
  }

  test('a barrier waits for what another queue sent before, and holds what it sends after', async () => {
    const { disk, frontend, ended, guests, log } = await open();
    const [one, two] = guests;
    const before = frontend.counters.requests;
    const write = send(one, log, 'write', BLKIF_OP_WRITE);
    await until(() => disk.waiting.length > 0);
    const begun = disk.waiting;
    const barrier = send(two, log, 'barrier', BLKIF_OP_WRITE_BARRIER);
    // What two rings were sent at once has no order; what was taken has.
    await until(() => frontend.counters.requests === before + 2);
    const read = send(one, log, 'read', BLKIF_OP_READ);
    await until(() => frontend.counters.requests === before + 3);
    // Neither has begun.
    expect(disk.waiting).toEqual(begun);
    await letUntil(
      disk,
      Promise.all([write, barrier, read]).then(() => undefined),
    );
    expect(ended).toEqual([REQUEST_WRITE, REQUEST_BARRIER, REQUEST_READ]);
    expect(log.sort()).toEqual(['barrier 0', 'read 0', 'write 0']);
  });

  test('a flush covers what was acknowledged on another queue', async () => {
    const { disk, guests, log } = await open();
    const [one, two] = guests;
    await letUntil(disk, send(one, log, 'write', BLKIF_OP_WRITE));
    disk.schedule.log.length = 0;
    await letUntil(disk, send(two, log, 'flush', BLKIF_OP_FLUSH_DISKCACHE, 0));
    expect(log).toEqual(['write 0', 'flush 0']);
    expect(disk.schedule.log).toContain('sync');
  });
});

test('a queue that breaks its ring stops the disk, and each is served again on a fresh ring', async () => {
  const directory = make(2);
  const [breaks, sound] = ringsOfStandIn(directory).map((place) => new RawGuest(place));
  cleanUps.push(
    () => breaks.close(),
    () => sound.close(),
  );
  const stops: TapdiskError[] = [];
  const disk = new FakeBlockDevice();
  const frontend = serve(directory, disk, stops);
  await until(() => breaks.backEndState() === 'connected' && sound.backEndState() === 'connected');
  // req_prod, far ahead.
  breaks.ringBytes.writeUInt32LE(1000, 0);
  breaks.doorbell.ring();
  await until(() => stops.length > 0);
  expect(stops.map(({ code }) => code)).toEqual(['RING_PRODUCER_OVERFLOW']);
  expect(frontend.stopped?.code).toBe('RING_PRODUCER_OVERFLOW');
  // A request on the sound ring is not taken.
  sound.ringBytes.writeUInt32LE(1, 0);
  sound.doorbell.ring();
  for (let wait = 0; wait < 20; wait++) await turn();
  expect(disk.seen).toEqual([]);
  expect(stops).toHaveLength(1);
  breaks.makeRing();
  sound.makeRing();
  await until(() => frontend.stopped === null);
  sound.ringBytes.writeUInt32LE(1, 0);
  sound.doorbell.ring();
  await until(() => frontend.counters.requests === 1);
});

test('close takes nothing more from any queue, and waits for what is in flight on each', async () => {
  const directory = make(2);
  const disk = new FakeBlockDevice({ manual: true });
  const frontend = serve(directory, disk);
  const guests = await guestsOf(directory);
  const asked = guests.map(({ guest, ask }) => ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1));
  await until(() => disk.waiting.length === 2);
  let isClosed = false;
  const closed = frontend.close().then(() => (isClosed = true));
  disk.complete(disk.waiting[0]);
  void guests[0].ask(guests[0].guest.acquireSlot(), BLKIF_OP_READ, 0, 1);
  for (let wait = 0; wait < 20; wait++) await turn();
  expect([isClosed, disk.waiting.length]).toEqual([false, 1]);
  disk.complete(disk.waiting[0]);
  await closed;
  expect(await Promise.all(asked)).toEqual([0, 0]);
  expect(disk.leaked).toBe(0);
});

test('pause holds every queue until resume', async () => {
  const directory = make(2);
  const disk = new FakeBlockDevice();
  const frontend = serve(directory, disk);
  const guests = await guestsOf(directory);
  frontend.pause();
  await frontend.drained();
  const asked = guests.map(({ guest, ask }) => ask(guest.acquireSlot(), BLKIF_OP_READ, 0, 1));
  for (let wait = 0; wait < 20; wait++) await turn();
  expect(disk.seen).toEqual([]);
  frontend.resume();
  expect(await Promise.all(asked)).toEqual([0, 0]);
});

test('a disk that grows is told on every ring', async () => {
  const directory = make(3);
  const disk = new FakeBlockDevice({ sectors: 1024 });
  const frontend = serve(directory, disk);
  const ends = await guestsOf(directory);
  disk.sectors = 2048;
  frontend.resized?.(disk.sectors);
  await until(() => ends.every(({ guest }) => guest.sectors === 2048));
  expect(ends.map(({ events }) => [events.lost, events.resized])).toEqual(Array(3).fill([0, 1]));
});
