/** A real disk gets another size: under load, across kills at any instant, and without a process. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResizedDisk } from '../../lib/control/disk-host';
import { callProcess } from '../../lib/control/socket-client';
import { openPool } from '../../lib/pool/open-pool';
import { BLKIF_RSP_OKAY } from '../../lib/ring';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { type CommandRun, runCommand } from '../cli/captured-io';
import { CrashLoad } from '../crash/crash-load';
import { Random } from '../crash/random';
import { SimpleGuest } from './simple-guest';
import { TapdiskUnderTest } from './tapdisk-under-test';

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const SECTOR_BYTES = 512;
const CHUNK_BYTES = 64 * 1024;
const MIB = 2 ** 20;
const DISK_BYTES = 4 * MIB;
/** Beyond a page of the chunk map, 1024 chunks. */
const GROWN_BYTES = 76 * MIB;
const DEPTH = 16;
const GROWTHS = 6;
const KILLS = 8;
/** About as long as a resize takes, so that kills fall before it, into it and behind it. */
const LONGEST_LIFE_MS = 60;
const COOKIE = 7;
jest.setTimeout(120_000);

describe(`a disk that gets another size (SEED=${SEED})`, () => {
  let tapdisk: TapdiskUnderTest;
  let load: CrashLoad;
  const random = new Random(SEED);

  beforeEach(async () => {
    tapdisk = await TapdiskUnderTest.create({ sizeBytes: DISK_BYTES, chunkBytes: CHUNK_BYTES });
    await tapdisk.start();
    const hash = await loadPayloadHash();
    const model = new DiskModel({
      sectors: GROWN_BYTES / SECTOR_BYTES,
      seed: SEED,
      expectZero: true,
      survives: 'acknowledged',
      hash,
    });
    load = new CrashLoad(model, random, DEPTH);
    await load.open(tapdisk.deviceDirectory);
  });
  afterEach(async () => {
    load.close();
    await tapdisk.stop();
    tapdisk.remove();
  });

  const resize = (size: string | number, ...more: string[]): Promise<CommandRun> =>
    runCommand(['resize', tapdisk.path, String(size), '--json', ...more], { env: tapdisk.env });

  async function answers(count: number): Promise<void> {
    const from = load.answered;
    while (load.answered < from + count) await sleep(2);
  }

  async function verified(): Promise<void> {
    await load.quiesce();
    await load.verifyAll();
    const { failures, mismatches } = load;
    expect({ failures, mismatches }).toEqual({ failures: 0, mismatches: [] });
  }

  const recordedBytes = async (): Promise<number> => {
    const pool = await openPool('test', { env: tapdisk.env });
    const { sizeBytes } = await pool.coordination.read('disk');
    await pool.close();
    return sizeBytes;
  };

  test('grows again and again under load, and its guest writes to all of it', async () => {
    load.start();
    const step = (GROWN_BYTES - DISK_BYTES) / GROWTHS;
    for (let growth = 1; growth <= GROWTHS; growth++) {
      await answers(100);
      const { exitCode, out, err } = await resize(`+${step}`);
      expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
      const sizeBytes = DISK_BYTES + growth * step;
      expect(JSON.parse(out)).toEqual({
        volume: tapdisk.path,
        beforeBytes: sizeBytes - step,
        sizeBytes,
        pid: tapdisk.pid,
        guestTold: true,
      });
      while (load.sectors * SECTOR_BYTES < sizeBytes) await sleep(1);
    }
    await answers(300);
    expect(load.reconnects).toBe(0);
    await verified();
    await tapdisk.kill();
    await tapdisk.start();
    await verified();
    expect(load.sectors * SECTOR_BYTES).toBe(GROWN_BYTES);
  });

  test('killed while it grows, it has the old size or the new one, and all its data', async () => {
    let sizeBytes = DISK_BYTES;
    const step = (GROWN_BYTES - DISK_BYTES) / KILLS;
    const seen = { old: 0, new: 0 };
    for (let kill = 1; kill <= KILLS; kill++) {
      load.start();
      await answers(20);
      const wanted = sizeBytes + step;
      const asked: Promise<ResizedDisk | null> = callProcess(
        tapdisk.socketOf(tapdisk.pid),
        'resize',
        { cookie: COOKIE, size: { toBytes: wanted } },
      ).catch(() => null);
      await sleep(random.below(LONGEST_LIFE_MS));
      await tapdisk.kill();
      await tapdisk.start();
      const found = await recordedBytes();
      expect([sizeBytes, wanted]).toContain(found);
      // What was answered is durable.
      if ((await asked) !== null) expect(found).toBe(wanted);
      seen[found === wanted ? 'new' : 'old']++;
      while (load.sectors * SECTOR_BYTES < found) await sleep(1);
      expect(load.sectors * SECTOR_BYTES).toBe(found);
      sizeBytes = found;
      await answers(20);
      await load.quiesce();
    }
    await verified();
    console.log(`seed ${SEED}: ${seen.old} kills left the old size, ${seen.new} the new one`);
  });

  test('is not made smaller while it is used', async () => {
    const { exitCode, err } = await resize(MIB, '--allow-shrink');
    expect(exitCode).toBe(5);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'SHRINK_ATTACHED' } });
    load.start();
    await answers(100);
    await verified();
  });

  test('is made smaller at rest; what was cut off is zeros when it grows again', async () => {
    load.close();
    const guest = await SimpleGuest.open(tapdisk.deviceDirectory);
    const sectors = DISK_BYTES / SECTOR_BYTES;
    const last = MIB / SECTOR_BYTES + 2;
    const ones = Buffer.alloc(SECTOR_BYTES, 1);
    for (const sector of [0, last, last + 1, sectors - 1]) {
      expect(await guest.write(sector, ones)).toBe(BLKIF_RSP_OKAY);
    }
    guest.close();
    // kill -9: what the killed process had acknowledged is part of what is cut off, or kept.
    await tapdisk.kill();
    expect((await resize((last + 1) * SECTOR_BYTES, '--allow-shrink')).err).toBe('');
    expect((await resize(DISK_BYTES)).err).toBe('');
    await tapdisk.start();
    const next = await SimpleGuest.open(tapdisk.deviceDirectory);
    const contents: Record<number, number> = {};
    for (const sector of [0, last, last + 1, sectors - 1]) {
      contents[sector] = (await next.read(sector, 1)).data[0];
    }
    expect(contents).toEqual({ 0: 1, [last]: 1, [last + 1]: 0, [sectors - 1]: 0 });
    next.close();
  });
});
