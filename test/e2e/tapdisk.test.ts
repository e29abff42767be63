/** A whole tapdisk process, started by its pipes, from the guest's side of the ring. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openPool } from '../../lib/pool/open-pool';
import { BLKIF_RSP_ERROR, BLKIF_RSP_OKAY } from '../../lib/ring';
import { SimpleGuest } from './simple-guest';
import { TapdiskUnderTest, type UnderTestOptions } from './tapdisk-under-test';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const SECTOR_BYTES = 512;
jest.setTimeout(60_000);

function pattern(lengthBytes: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 31 + seed) & 0xff));
}

describe('a tapdisk process', () => {
  let tapdisk: TapdiskUnderTest;
  let guest: SimpleGuest;

  async function begin(options: UnderTestOptions, readOnly = false): Promise<void> {
    tapdisk = await TapdiskUnderTest.create(options);
    await tapdisk.start(readOnly);
    guest = await SimpleGuest.open(tapdisk.deviceDirectory);
  }

  async function restart(kill: boolean): Promise<void> {
    guest.close();
    await (kill ? tapdisk.kill() : tapdisk.stop());
    await tapdisk.start();
    guest = await SimpleGuest.open(tapdisk.deviceDirectory);
  }

  afterEach(async () => {
    guest.close();
    await tapdisk.stop();
    tapdisk.remove();
  });

  it('keeps what was written across an orderly end and across kill -9', async () => {
    await begin({ sizeBytes: 64 * MIB, chunkBytes: MIB });
    const first = pattern(11 * 4096, 1);
    const second = pattern(3 * SECTOR_BYTES, 2);
    expect(await guest.write(0, first)).toBe(BLKIF_RSP_OKAY);
    await restart(false);
    expect((await guest.read(0, 88)).data.equals(first)).toBe(true);
    // Over a chunk boundary, at an odd sector.
    expect(await guest.write(2047, second)).toBe(BLKIF_RSP_OKAY);
    await restart(true);
    expect((await guest.read(2047, 3)).data.equals(second)).toBe(true);
    expect((await guest.read(2050, 1)).data.equals(Buffer.alloc(SECTOR_BYTES))).toBe(true);
  });

  it('serves the last sector of an 8 TiB volume in less than 200 MiB', async () => {
    await begin({ sizeBytes: 8 * TIB, chunkBytes: 4 * MIB });
    const last = (8 * TIB) / SECTOR_BYTES - 1;
    const data = pattern(SECTOR_BYTES, 3);
    expect(await guest.write(last, data)).toBe(BLKIF_RSP_OKAY);
    expect(await guest.flush()).toBe(BLKIF_RSP_OKAY);
    await restart(true);
    expect((await guest.read(last, 1)).data.equals(data)).toBe(true);
    expect((await guest.read(last - 8, 8)).data.equals(Buffer.alloc(8 * SECTOR_BYTES))).toBe(true);
    expect(await guest.write(last, pattern(2 * SECTOR_BYTES, 4))).toBe(BLKIF_RSP_ERROR);
    const status = readFileSync(`/proc/${tapdisk.pid}/status`, 'utf8');
    const residentKib = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
    expect(residentKib).toBeLessThan(200 * 1024);
  });

  it('gives the space of a discard back', async () => {
    await begin({ sizeBytes: GIB, chunkBytes: MIB });
    for (let chunk = 0; chunk < 8; chunk++) {
      for (let at = 0; at < MIB; at += 32 * 1024) {
        const sector = (chunk * MIB + at) / SECTOR_BYTES;
        expect(await guest.write(sector, pattern(32 * 1024, chunk))).toBe(BLKIF_RSP_OKAY);
      }
    }
    const extent = join(tapdisk.poolDirectory, 'layers/00000001/00000000');
    const usedBytes = (): number => statSync(extent).blocks * SECTOR_BYTES;
    expect(usedBytes()).toBeGreaterThanOrEqual(8 * MIB);
    expect(await guest.discard(0, (8 * MIB) / SECTOR_BYTES)).toBe(BLKIF_RSP_OKAY);
    expect(usedBytes()).toBeLessThan(MIB);
    expect((await guest.read(0, 8)).data.equals(Buffer.alloc(4096))).toBe(true);
  });

  it('answers ERROR to a write on a read-only disk, and serves reads', async () => {
    await begin({ sizeBytes: 16 * MIB, chunkBytes: MIB }, true);
    expect(await guest.write(0, pattern(SECTOR_BYTES, 5))).toBe(BLKIF_RSP_ERROR);
    expect((await guest.read(0, 1)).status).toBe(BLKIF_RSP_OKAY);
  });

  it('refuses a second attach with the owner’s host and pid', async () => {
    await begin({ sizeBytes: 16 * MIB, chunkBytes: MIB });
    const pool = await openPool('test', { env: tapdisk.env });
    await expect(pool.coordination.attach('disk', { readOnly: false })).rejects.toMatchObject({
      code: 'VOLUME_ATTACHED',
      message: expect.stringContaining(String(tapdisk.pid)) as unknown,
    });
    await pool.close();
  });
});
