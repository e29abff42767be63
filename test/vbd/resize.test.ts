/** Disks that get another size: what is told when, what waits, and what a crash or a fault leaves. */
import { REQUEST_DISCARD, REQUEST_FLUSH, REQUEST_READ, REQUEST_WRITE } from '../../lib/vbd/request';
import { STATUS_ERROR, STATUS_OKAY } from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { CHUNK_BYTES, CHUNKS, VolumeOnDoubles } from '../volume/volume-on-doubles';
import { Guest, turns, until } from './guest';

const EIO = 5;
const CHUNK_SECTORS = CHUNK_BYTES / 512;
const SECTORS = CHUNKS * CHUNK_SECTORS;
const DISK_BYTES = SECTORS * 512;

interface Opened {
  readonly disk: VolumeOnDoubles;
  readonly vbd: Vbd;
  readonly guest: Guest;
}

async function open(layer = 1, media?: VolumeOnDoubles['media']): Promise<Opened> {
  const disk = await VolumeOnDoubles.open({ layer, ...(media && { media }) });
  const vbd = new Vbd(disk.volume);
  return { disk, vbd, guest: new Guest(vbd) };
}

/** Lets everything happen until the work is done. */
async function through<Result>({ disk }: Opened, work: Promise<Result>): Promise<Result> {
  let isOver = false;
  const over = (): void => void (isOver = true);
  work.then(over, over);
  await until(() => {
    disk.letAll();
    return isOver;
  });
  return work;
}

const write = { operation: REQUEST_WRITE, sectorCount: 1, value: 9 } as const;
const read = { operation: REQUEST_READ, sectorCount: 1 } as const;

async function byteAt(opened: Opened, sector: number): Promise<number> {
  const answer = opened.guest.send('look', { ...read, sector });
  await until(() => {
    opened.disk.letAll();
    return answer.status !== null;
  });
  expect(answer.status).toBe(STATUS_OKAY);
  return answer.bytes[0];
}

test('a larger disk is written and read behind its old end, which is zeros at first', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  expect(guest.send('early', { ...write, sector: SECTORS }).status).toBe(STATUS_ERROR);
  await through(opened, vbd.resize(2 ** 53 - 512));
  expect(vbd.sectors).toBe(2 ** 44 - 1);
  expect(await byteAt(opened, 2 ** 44 - 2)).toBe(0);
  const late = guest.send('late', { ...write, sector: 2 ** 44 - 2 });
  disk.letAll();
  expect(late.status).toBe(STATUS_OKAY);
  expect(await byteAt(opened, 2 ** 44 - 2)).toBe(9);
  expect(guest.send('beyond', { ...write, sector: 2 ** 44 - 1 }).status).toBe(STATUS_ERROR);
});

test('the record is durable before any of it is served', async () => {
  const { disk, vbd, guest } = await open();
  let keep: () => void = () => {};
  disk.attachment.keepSize = () => new Promise((resolve) => (keep = resolve));
  const resized = vbd.resize(2 * DISK_BYTES);
  await turns(3);
  expect(vbd.sectors).toBe(SECTORS);
  expect(guest.send('early', { ...read, sector: SECTORS }).status).toBe(STATUS_ERROR);
  keep();
  await resized;
  expect(vbd.sectors).toBe(2 * SECTORS);
});

test('requests go on while the record is written, and wait only for those in flight', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  let keep: () => void = () => {};
  disk.attachment.keepSize = () => new Promise((resolve) => (keep = resolve));
  const resized = vbd.resize(2 * DISK_BYTES);
  await turns(1);
  const first = guest.send('first', write);
  disk.letAll();
  expect(first.status).toBe(STATUS_OKAY);
  const inFlight = guest.send('in flight', { ...write, sector: CHUNK_SECTORS });
  keep();
  await turns(3);
  const held = guest.send('held', { ...write, sector: 1 });
  expect(disk.waiting).toEqual(['punch']);
  await through(opened, resized);
  disk.letAll();
  expect([inFlight.status, held.status]).toEqual([STATUS_OKAY, STATUS_OKAY]);
  expect(guest.answered).toEqual(['first', 'in flight', 'held']);
});

test('a discard up to the end takes nothing that is written behind it', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  // The end lies within a chunk.
  const sectors = SECTORS + 3;
  await through(opened, vbd.resize(sectors * 512));
  guest.send('old', { ...write, sector: SECTORS });
  disk.letAll();
  // The chunk's transition holds the discard back, which has chosen to drop the whole chunk.
  guest.send('copy', { ...write, sector: SECTORS + 1 });
  const discard = {
    operation: REQUEST_DISCARD,
    sector: SECTORS,
    sectorCount: 3,
    runs: [],
  } as const;
  const discarded = guest.send('discard', discard);
  const resized = vbd.resize(2 * DISK_BYTES);
  await turns(2);
  const behind = guest.send('behind', { ...write, sector: sectors });
  expect(behind.status).toBe(STATUS_ERROR);
  await through(opened, resized);
  expect(discarded.status).toBe(STATUS_OKAY);
  guest.send('behind', { ...write, sector: sectors });
  disk.letAll();
  expect(await byteAt(opened, sectors)).toBe(9);
});

test('a paused disk grows, and stays paused', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  await vbd.pause();
  await through(opened, vbd.resize(2 * DISK_BYTES));
  const answer = guest.send('held', { ...read, sector: SECTORS });
  disk.letAll();
  expect(answer.status).toBeNull();
  vbd.resume();
  await until(() => answer.status === STATUS_OKAY);
});

test('a pause and a resume in the middle let nothing start before the disk has its size', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  const inFlight = guest.send('in flight', write);
  const resized = vbd.resize(2 * DISK_BYTES);
  await turns(3);
  const paused = vbd.pause();
  vbd.resume();
  guest.send('held', { ...write, sector: 1 });
  expect(disk.waiting).toEqual(['punch']);
  await through(opened, Promise.all([resized, paused]));
  disk.letAll();
  expect(inFlight.status).toBe(STATUS_OKAY);
  expect(guest.answered).toEqual(['in flight', 'held']);
});

test('resizes and a close come one after the other', async () => {
  const opened = await open();
  const { vbd } = opened;
  const sizes = [2, 3, 5].map((factor) => vbd.resize(factor * DISK_BYTES));
  await through(opened, Promise.all([...sizes, vbd.close()]));
  expect(opened.disk.attachment.record.sizeBytes).toBe(5 * DISK_BYTES);
  expect(opened.disk.attachment.isReleased).toBe(true);
});

test('a record that cannot be changed leaves the disk as it is', async () => {
  const opened = await open();
  const { disk, vbd, guest } = opened;
  disk.attachment.keepSize = () => Promise.reject(new Error('no luck'));
  await expect(vbd.resize(2 * DISK_BYTES)).rejects.toThrow('no luck');
  expect(vbd.sectors).toBe(SECTORS);
  const answer = guest.send('on', write);
  disk.letAll();
  expect(answer.status).toBe(STATUS_OKAY);
});

test('what the drain gave up is settled by the same resize again', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
  try {
    const opened = await open();
    const { disk, vbd, guest } = opened;
    guest.send('stuck', write);
    const resized = vbd.resize(2 * DISK_BYTES);
    const refused = expect(resized).rejects.toMatchObject({ code: 'DRAIN_TIMEOUT' });
    await turns(3);
    jest.advanceTimersByTime(60_000);
    await refused;
    expect(vbd.sectors).toBe(SECTORS);
    expect(disk.attachment.record.sizeBytes).toBe(2 * DISK_BYTES);
    disk.letAll();
    await through(opened, vbd.resize(2 * DISK_BYTES));
    expect(vbd.sectors).toBe(2 * SECTORS);
  } finally {
    jest.useRealTimers();
  }
});

describe.each([1, 2] as const)('a smaller disk that writes to layer %d', (layer) => {
  /** Every sector is 9, in layer 1. */
  async function openFull(): Promise<Opened> {
    const first = await open();
    first.guest.send('all', { ...write, sectorCount: SECTORS });
    first.disk.letAll();
    first.guest.send('flush', { operation: REQUEST_FLUSH });
    first.disk.letAll();
    return layer === 1 ? first : open(layer, first.disk.media);
  }

  test.each([
    ['within a chunk', 5 * CHUNK_SECTORS + 3],
    ["at a chunk's end", 5 * CHUNK_SECTORS],
    ['by a sector', SECTORS - 1],
    ['to one sector', 1],
  ])('%s has lost what was behind its end, when it grows again', async (_where, sectors) => {
    const opened = await openFull();
    const { vbd, guest } = opened;
    await through(opened, vbd.resize(sectors * 512));
    expect(vbd.sectors).toBe(sectors);
    expect(guest.send('behind', { ...read, sector: sectors }).status).toBe(STATUS_ERROR);
    expect(await byteAt(opened, sectors - 1)).toBe(9);
    await through(opened, vbd.resize(DISK_BYTES));
    expect(await byteAt(opened, sectors - 1)).toBe(9);
    for (const sector of [sectors, SECTORS - 1]) expect(await byteAt(opened, sector)).toBe(0);
  });

  test('keeps its size where its end cannot be emptied', async () => {
    const opened = await openFull();
    const { disk, vbd, guest } = opened;
    const resized = vbd.resize(512);
    const refused = expect(resized).rejects.toMatchObject({
      code: 'SHRINK_FAILED',
      message: expect.stringContaining('EIO') as string,
    });
    await turns(3);
    disk.let(disk.waiting[0], EIO);
    await until(() => {
      disk.letAll();
      return vbd.inFlight === 0;
    });
    await through(opened, refused);
    expect(vbd.sectors).toBe(SECTORS);
    expect(disk.attachment.record.sizeBytes).toBe(DISK_BYTES);
    guest.send('on', { ...write, sector: SECTORS - 1 });
    expect(await byteAt(opened, SECTORS - 1)).toBe(9);
  });
});

test('a disk that is used is not made smaller', async () => {
  const opened = await open();
  opened.guest.send('in flight', write);
  await expect(opened.vbd.resize(512)).rejects.toThrow('what shrinks is not used');
});
