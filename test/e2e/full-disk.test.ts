/** A whole tapdisk process whose store's file system is full: what its guest sees, and what stays. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BLKIF_RSP_ERROR, BLKIF_RSP_OKAY } from '../../lib/ring';
import { SimpleGuest } from './simple-guest';
import { TapdiskUnderTest } from './tapdisk-under-test';

const KIB = 1024;
const MIB = 1024 * KIB;
const SECTOR_BYTES = 512;
const DISK_BYTES = 4 * MIB;
const VOLUME_BYTES = 8 * MIB;
const CHUNK_BYTES = 64 * KIB;
/** Two of them a chunk: the disk may become full at a chunk's first write, or at its second. */
const WRITE_BYTES = 32 * KIB;
const WRITE_SECTORS = WRITE_BYTES / SECTOR_BYTES;
const WRITES = VOLUME_BYTES / WRITE_BYTES;
jest.setTimeout(60_000);

let mountPoint = '';
let whyNot = '';
let tapdisk: TapdiskUnderTest;
let guest: SimpleGuest;

beforeAll(() => {
  mountPoint = mkdtempSync(join(tmpdir(), 'tapdisk-ts-full-'));
  try {
    const options = `size=${DISK_BYTES},mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', mountPoint], { stdio: 'pipe' });
  } catch (error) {
    whyNot = `no small file system could be mounted: ${String(error)}`;
    console.warn(`full-disk.test.ts was skipped: ${whyNot}`);
  }
});

afterAll(async () => {
  if (whyNot === '') {
    guest.close();
    await tapdisk.stop();
    tapdisk.remove();
    execFileSync('umount', [mountPoint]);
  }
  rmdirSync(mountPoint);
});

function dataOf(write: number, round = 0): Buffer {
  return Buffer.alloc(WRITE_BYTES, `write ${write}, round ${round}; `);
}

async function readWrite(write: number): Promise<Buffer> {
  const { status, data } = await guest.read(write * WRITE_SECTORS, WRITE_SECTORS);
  expect(status).toBe(BLKIF_RSP_OKAY);
  return data;
}

const ZEROS = Buffer.alloc(SECTOR_BYTES);

/** A write that failed may have happened or not, sector by sector; nothing else may be there. */
function expectOldOrNew(found: Buffer, written: Buffer): void {
  const strange: number[] = [];
  for (let at = 0; at < WRITE_BYTES; at += SECTOR_BYTES) {
    const sector = found.subarray(at, at + SECTOR_BYTES);
    const isNew = sector.equals(written.subarray(at, at + SECTOR_BYTES));
    if (!isNew && !sector.equals(ZEROS)) strange.push(at);
  }
  expect(strange).toEqual([]);
}

test('its guest gets errors, nothing else is harmed, and it goes on once there is room', async () => {
  if (whyNot !== '') return;
  const ballast = join(mountPoint, 'ballast');
  tapdisk = await TapdiskUnderTest.create({
    sizeBytes: VOLUME_BYTES,
    chunkBytes: CHUNK_BYTES,
    poolDirectory: mountPoint,
  });
  writeFileSync(ballast, Buffer.alloc(MIB));
  await tapdisk.start();
  guest = await SimpleGuest.open(tapdisk.deviceDirectory);

  const statuses: number[] = [];
  for (let write = 0; write < WRITES; write++) {
    statuses.push(await guest.write(write * WRITE_SECTORS, dataOf(write)));
  }
  expect(new Set(statuses)).toEqual(new Set([BLKIF_RSP_OKAY, BLKIF_RSP_ERROR]));
  expect(statuses[WRITES - 1]).toBe(BLKIF_RSP_ERROR);

  // Flushes succeed, and so do writes to what has its space already.
  expect(await guest.flush()).toBe(BLKIF_RSP_OKAY);
  expect(await guest.write(0, dataOf(0, 1))).toBe(BLKIF_RSP_OKAY);
  const expectUnharmed = async (): Promise<void> => {
    expect((await readWrite(0)).equals(dataOf(0, 1))).toBe(true);
    for (let write = 1; write < WRITES; write++) {
      const found = await readWrite(write);
      if (statuses[write] !== BLKIF_RSP_OKAY) expectOldOrNew(found, dataOf(write));
      else expect(found.equals(dataOf(write))).toBe(true);
    }
  };
  await expectUnharmed();

  // The next process attaches on the full disk, and finds the same.
  guest.close();
  await tapdisk.kill();
  await tapdisk.start();
  guest = await SimpleGuest.open(tapdisk.deviceDirectory);
  await expectUnharmed();
  expect(await guest.write((WRITES - 1) * WRITE_SECTORS, dataOf(WRITES - 1))).toBe(BLKIF_RSP_ERROR);

  // With room again, no restart is needed.
  unlinkSync(ballast);
  expect(await guest.write((WRITES - 1) * WRITE_SECTORS, dataOf(WRITES - 1))).toBe(BLKIF_RSP_OKAY);
  expect(await guest.flush()).toBe(BLKIF_RSP_OKAY);
  expect((await readWrite(WRITES - 1)).equals(dataOf(WRITES - 1))).toBe(true);
  const failed = statuses.indexOf(BLKIF_RSP_ERROR);
  expect(await guest.write(failed * WRITE_SECTORS, dataOf(failed))).toBe(BLKIF_RSP_OKAY);
  expect((await readWrite(failed)).equals(dataOf(failed))).toBe(true);
});
