/** A disk that waits for its volume, and one that is being given away: what may be asked of them. */
import { createLog } from '../../lib/control/create-log';
import { createPool } from '../../lib/pool/create-pool';
import { openPool, type Pool } from '../../lib/pool/open-pool';
import { Disk } from '../../lib/tapdisk/disk';
import { makePoolRoom, refusal, type PoolRoom } from '../pool/temporary-pool';

const MIB = 2 ** 20;
let room: PoolRoom;
let pool: Pool;
const disks: Disk[] = [];
const saved = process.env.TAPDISK_TS_CONFIG_DIR;

beforeEach(async () => {
  room = makePoolRoom();
  process.env.TAPDISK_TS_CONFIG_DIR = room.env.TAPDISK_TS_CONFIG_DIR;
  await createPool({ name: 'main', path: room.poolPath, storeKind: 'dir', existing: false }, room);
  pool = await openPool('main', room);
  await pool.coordination.create({ name: 'a', sizeBytes: MIB, chunkBytes: 64 * 1024 });
});
afterEach(async () => {
  for (const disk of disks.splice(0)) await disk.close();
  await pool.close();
  if (saved === undefined) delete process.env.TAPDISK_TS_CONFIG_DIR;
  else process.env.TAPDISK_TS_CONFIG_DIR = saved;
  room.dispose();
});

async function open(path: string): Promise<Disk> {
  const log = createLog({ TAPDISK_TS_LOG_LEVEL: 'silent' });
  const disk = await Disk.open({ cookie: 1, path, readOnly: false, log, onCloseAsked: () => {} });
  disks.push(disk);
  return disk;
}

test('a standby tells the volume`s size, and does nothing else that is asked of it', async () => {
  await open('main/a');
  const standby = await open('main/a?wait');
  expect(standby.image).toMatchObject({ sectors: MIB / 512, info: 0 });
  expect(standby.status()).toMatchObject({ volume: 'main/a', state: 'standby', recording: null });
  expect(standby.statistics()).toMatchObject({ volume: 'main/a', state: 'standby' });
  await expect(standby.pause()).rejects.toEqual(refusal('DISK_STANDBY', 'main/a'));
  await expect(standby.handOver(undefined)).rejects.toEqual(refusal('DISK_STANDBY'));
});

test('nothing may be asked of a disk that is just being handed over', async () => {
  const disk = await open('main/a');
  const standby = await open('main/a?wait');
  const handing = disk.handOver(undefined);
  await expect(disk.pause()).rejects.toEqual(refusal('DISK_BUSY', 'main/a'));
  await expect(disk.handOver(undefined)).rejects.toEqual(refusal('DISK_BUSY'));
  await expect(disk.close()).rejects.toEqual(refusal('DISK_BUSY'));
  await handing;
  await disk.close();
  while (standby.status().state === 'standby') await new Promise((r) => setTimeout(r, 5));
  expect(standby.status()).toMatchObject({ state: 'opened', reason: null });
});

test('several wait in turn, and for a volume that is gone nobody does', async () => {
  const standby = await open('main/a?wait');
  while (standby.status().state === 'standby') await new Promise((r) => setTimeout(r, 5));
  // It has the volume itself now, so a second one waits for it.
  const second = await open('main/a?wait');
  expect(second.status().state).toBe('standby');
  await disks.shift()!.close();
  while (second.status().state === 'standby') await new Promise((r) => setTimeout(r, 5));
  await disks.shift()!.close();
  await pool.coordination.delete('a');
  await expect(open('main/a?wait')).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
});

test('a local pool has nothing to steal', async () => {
  await open('main/a');
  const thief = await open('main/a?steal');
  while (thief.status().state === 'standby') await new Promise((r) => setTimeout(r, 5));
  expect(thief.status()).toMatchObject({ state: 'stopped' });
  expect(thief.status().reason).toContain('pool of one host');
});

test('a disk whose ring is in a guest`s memory is connected to that guest alone', async () => {
  const disk = await open('main/a?xen=backend/vbd/5/51712');
  expect(disk.status()).toMatchObject({ volume: 'main/a', state: 'opened' });
  const connect = async (domid: number): Promise<void> => disk.connect({ minor: 0, domid });
  await expect(connect(6)).rejects.toEqual(refusal('XEN_DOMID_MISMATCH', 'domain 5'));
  // Refused, it may be connected to the right one.
  expect(disk.status().state).toBe('opened');
});
