/** Discards and writes of zeros: what they drop, punch and write, and in how large steps. */
import { MemoryStore } from '../../lib/store/memory-store';
import { NullStore } from '../../lib/store/null-store';
import {
  REQUEST_DISCARD,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_ERROR,
  STATUS_OKAY,
  type RequestOperation,
} from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { DISCARD_STEP_CHUNKS } from '../../lib/volume/limits';
import { CHUNK_BYTES, CHUNKS, VolumeOnDoubles } from '../volume/volume-on-doubles';
import { Guest, turns, until } from './guest';
import { openInstantVolume } from './instant-volume';

const EIO = 5;
const CHUNK_SECTORS = CHUNK_BYTES / 512;
const DISK_SECTORS = CHUNKS * CHUNK_SECTORS;

interface Opened {
  readonly disk: VolumeOnDoubles;
  readonly guest: Guest;
}

/** All chunks are written, with 1 as each byte: by this layer, or by a frozen one. */
async function open(layer: 1 | 2): Promise<Opened> {
  const first = await VolumeOnDoubles.open();
  const guest = new Guest(new Vbd(first.volume));
  const all = { operation: REQUEST_WRITE, sectorCount: DISK_SECTORS, value: 1 } as const;
  guest.send('', all);
  first.letAll();
  if (layer === 1) return { disk: first, guest };
  const disk = await VolumeOnDoubles.open({ media: first.media, layer });
  return { disk, guest: new Guest(new Vbd(disk.volume)) };
}

/** Sends it, lets everything happen, and returns its status. */
async function send(
  { disk, guest }: Opened,
  operation: RequestOperation,
  sector: number,
  sectorCount: number,
): Promise<number> {
  const answer = guest.send('range', { operation, sector, sectorCount, runs: [] });
  while (answer.status === null) {
    disk.letAll();
    await turns(1);
  }
  return answer.status;
}

/** One byte a sector: 1 where the old data is. */
function sectorsOf({ disk, guest }: Opened): number[] {
  const answer = guest.send('read', { operation: REQUEST_READ, sectorCount: DISK_SECTORS });
  disk.letAll();
  expect(answer.status).toBe(STATUS_OKAY);
  return Array.from({ length: DISK_SECTORS }, (_, sector) => answer.bytes[sector * 512]);
}

function expectedWithout(from: number, count: number): number[] {
  return Array.from({ length: DISK_SECTORS }, (_, s) => (s >= from && s < from + count ? 0 : 1));
}

const RANGES: [string, number, number][] = [
  ['everything', 0, DISK_SECTORS],
  ['one chunk', CHUNK_SECTORS, CHUNK_SECTORS],
  ['several chunks and parts of two', CHUNK_SECTORS - 3, 3 * CHUNK_SECTORS],
  ['a part of one chunk', CHUNK_SECTORS + 2, 3],
  ['one sector', 5, 1],
  ['the last sector', DISK_SECTORS - 1, 1],
  ['the end of the disk', DISK_SECTORS - CHUNK_SECTORS - 1, CHUNK_SECTORS + 1],
];

describe.each([1, 2] as const)('data in layer 1 of a disk that writes to layer %d', (layer) => {
  test.each(RANGES)('a write of zeros makes %s zeros, exactly', async (_, sector, count) => {
    const opened = await open(layer);
    expect(await send(opened, REQUEST_WRITE_ZEROES, sector, count)).toBe(STATUS_OKAY);
    expect(sectorsOf(opened)).toEqual(expectedWithout(sector, count));
  });

  test.each(RANGES)('a discard of %s touches nothing else', async (_, sector, count) => {
    const opened = await open(layer);
    expect(await send(opened, REQUEST_DISCARD, sector, count)).toBe(STATUS_OKAY);
    const after = sectorsOf(opened);
    const without = expectedWithout(sector, count);
    for (let s = 0; s < DISK_SECTORS; s++) if (without[s] === 1) expect(after[s]).toBe(1);
    const firstWhole = Math.ceil(sector / CHUNK_SECTORS);
    for (let c = firstWhole; (c + 1) * CHUNK_SECTORS <= sector + count; c++) {
      expect(after.slice(c * CHUNK_SECTORS, (c + 1) * CHUNK_SECTORS)).not.toContain(1);
    }
  });
});

test('a discard of pages gives them back', async () => {
  const opened = await open(1);
  await send(opened, REQUEST_DISCARD, 3, 16);
  expect(sectorsOf(opened)).toEqual(expectedWithout(8, 8));
});

test.each(['sync', 'commit', 'punch'] as const)('a %s that fails fails it', async (failing) => {
  const { disk, guest } = await open(1);
  const wanted = { operation: REQUEST_WRITE_ZEROES, sectorCount: DISK_SECTORS, runs: [] } as const;
  const answer = guest.send('zeros', wanted);
  while (disk.waiting[0] !== failing) disk.let(disk.waiting[0]);
  disk.let(failing, EIO);
  disk.letAll();
  await turns(2);
  expect(answer).toMatchObject({ status: STATUS_ERROR, errno: EIO });
});

test('a write of zeros waits for a discard of the same chunk to be durable', async () => {
  const { disk, guest } = await open(1);
  const first = guest.send('first', {
    operation: REQUEST_DISCARD,
    sectorCount: CHUNK_SECTORS,
    runs: [],
  });
  const second = guest.send('second', {
    operation: REQUEST_WRITE_ZEROES,
    sectorCount: 3,
    runs: [],
  });
  await turns(3);
  expect([first.status, second.status]).toEqual([null, null]);
  disk.let('sync');
  await turns(3);
  expect(second.status).toBeNull();
  disk.letAll();
  await turns(3);
  expect([first.status, second.status]).toEqual([STATUS_OKAY, STATUS_OKAY]);
});

test('8 TiB with a chunk here and there is discarded in bounded steps', async () => {
  const chunkBytes = 4 * 1024 * 1024;
  const chunks = (8 * 2 ** 40) / chunkBytes;
  const ownedChunks = [0, chunks - 1];
  for (let chunk = 5; chunk < chunks; chunk += 997) ownedChunks.push(chunk);
  for (let chunk = 1_000_000; chunk < 1_000_600; chunk++) ownedChunks.push(chunk);
  const { volume, map } = await openInstantVolume({
    store: new NullStore(chunkBytes),
    sizeBytes: 8 * 2 ** 40,
    ownedChunks: [...new Set(ownedChunks)],
  });
  const vbd = new Vbd(volume);
  const guest = new Guest(vbd);
  const owned = volume.ownedChunks;
  const whole = { operation: REQUEST_DISCARD, sectorCount: vbd.sectors, runs: [] } as const;
  const answer = guest.send('discard', whole);
  await until(() => answer.status !== null);
  expect(answer.status).toBe(STATUS_OKAY);
  expect(volume.ownedChunks).toBe(0);
  expect(Math.max(...map.commits)).toBeLessThanOrEqual(DISCARD_STEP_CHUNKS);
  expect(map.commits.reduce((sum, count) => sum + count)).toBe(owned);
});

test('a disk that ends within a chunk and a page is discarded to its end', async () => {
  const store = new MemoryStore(8192);
  const { volume } = await openInstantVolume({ store, sizeBytes: 3 * 8192 + 1536 });
  const vbd = new Vbd(volume);
  const guest = new Guest(vbd);
  const sectorCount = vbd.sectors;
  const wanted = { sectorCount, sector: 0 } as const;
  const written = guest.send('write', { operation: REQUEST_WRITE, ...wanted, value: 1 });
  await until(() => written.status !== null);
  expect(volume.ownedChunks).toBe(4);
  const answer = guest.send('discard', { operation: REQUEST_DISCARD, ...wanted, runs: [] });
  await until(() => answer.status !== null);
  expect(volume.ownedChunks).toBe(0);
});
