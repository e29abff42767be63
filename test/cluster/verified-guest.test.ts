/** The guest that judges the cluster test is judged: it moves, and finds what is planted. */
import { join } from 'node:path';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { STATUS_ERROR } from '../../lib/vbd/request';
import { Random } from '../crash/random';
import { FakeBlockDevice } from '../frontend/fake-block-device';
import { temporaryDirectory } from '../frontend/temporary-directory';
import { VerifiedGuest } from './verified-guest';

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const SECTORS = 4096;
const CHUNK_SECTORS = 128;
const CHUNK_BYTES = CHUNK_SECTORS * 512;

const opened: { close(): unknown }[] = [];

beforeAll(() => console.log(`seed ${SEED}`));

afterEach(async () => {
  for (const end of opened.splice(0).reverse()) await end.close();
});

async function newGuest(): Promise<VerifiedGuest> {
  const hash = await loadPayloadHash();
  const model = new DiskModel({
    ...{ sectors: SECTORS, seed: SEED, expectZero: true, survives: 'acknowledged', hash },
  });
  const sizes = { sectors: SECTORS, chunkSectors: CHUNK_SECTORS, depth: 8, discards: true };
  const guest = new VerifiedGuest({ model, random: new Random(SEED), ...sizes });
  opened.push(guest);
  return guest;
}

function newRing(): string {
  const ring = join(temporaryDirectory(), 'blktap0');
  ShmDevice.create(ring, BLKTAP_GEOMETRY);
  return ring;
}

function serve(ring: string, device: FakeBlockDevice): void {
  const frontend = ShmFrontend.open(ring, device, { onStopped: () => undefined });
  frontend.start();
  // In the reverse order: a front end closes when nothing is in flight.
  opened.push(frontend, { close: () => device.completeAll() });
}

/** A back end elsewhere that serves the same disk. */
function another(device: FakeBlockDevice): FakeBlockDevice {
  return Object.assign(new FakeBlockDevice({ sectors: SECTORS }), { disk: device.disk });
}

/** Moves with requests waiting at a back end that answers nothing any more. */
async function moveFromStuck(guest: VerifiedGuest, keepOld: boolean): Promise<FakeBlockDevice> {
  const [here, there] = [newRing(), newRing()];
  const device = new FakeBlockDevice({ sectors: SECTORS });
  serve(here, device);
  await guest.connect(here);
  guest.start();
  await guest.untilAnswered(200);
  device.manual = true;
  while (device.waiting.length < 8) await new Promise((resolve) => setImmediate(resolve));
  const moved = guest.move(there, keepOld);
  serve(there, another(device));
  await moved;
  return device;
}

test('what was not answered is sent again on the next ring, and all that was written is there', async () => {
  const guest = await newGuest();
  await moveFromStuck(guest, false);
  expect(guest.resent).toBe(8);
  await guest.untilAnswered(guest.answered + 200);
  await guest.quiesce();
  await guest.verifyAll();
  expect(guest).toMatchObject({ failures: 0, mismatchCount: 0, lateAnswers: 0 });
});

test('an answer on a ring that the guest has left is counted, and a failure there is not', async () => {
  const guest = await newGuest();
  const device = await moveFromStuck(guest, true);
  await guest.quiesce();
  device.complete(device.waiting[0]);
  device.complete(device.waiting[0], STATUS_ERROR);
  while (guest.lateAnswers === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(guest).toMatchObject({ failures: 0, lateAnswers: 1 });
});

test('content that belongs elsewhere is found', async () => {
  const guest = await newGuest();
  const device = await moveFromStuck(guest, true);
  await guest.untilAnswered(guest.answered + 200);
  await guest.quiesce();
  // As a write that lay somewhere for long would do: older content where newer was acknowledged.
  device.disk.copyWithin(0, CHUNK_BYTES);
  await guest.verifyAll();
  expect(guest.mismatchCount).toBeGreaterThan(0);
});

test('a request that fails is counted', async () => {
  const guest = await newGuest();
  const device = new FakeBlockDevice({ sectors: SECTORS, manual: true });
  const ring = newRing();
  serve(ring, device);
  await guest.connect(ring);
  guest.start();
  while (device.waiting.length < 8) await new Promise((resolve) => setImmediate(resolve));
  device.complete(device.waiting[0], STATUS_ERROR);
  device.manual = false;
  device.completeAll();
  await guest.untilAnswered(8);
  await guest.quiesce();
  expect(guest.failures).toBe(1);
});
