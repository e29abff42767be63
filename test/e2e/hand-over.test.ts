/** A live disk goes from one process to another, under load, and back, and nothing of it is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { callProcess } from '../../lib/control/socket-client';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { CrashLoad } from '../crash/crash-load';
import { Random } from '../crash/random';
import { TapdiskUnderTest } from './tapdisk-under-test';

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const SECTOR_BYTES = 512;
const DISK_BYTES = 16 * 2 ** 20;
const DEPTH = 16;
const HAND_OVERS = 5;
const COOKIE = 7;
jest.setTimeout(120_000);

describe(`handing a disk over (SEED=${SEED})`, () => {
  let tapdisk: TapdiskUnderTest;
  let load: CrashLoad;

  beforeEach(async () => {
    tapdisk = await TapdiskUnderTest.create({ sizeBytes: DISK_BYTES, chunkBytes: 64 * 1024 });
    await tapdisk.start();
    const sectors = DISK_BYTES / SECTOR_BYTES;
    const hash = await loadPayloadHash();
    const setting = {
      sectors,
      seed: SEED,
      expectZero: true,
      survives: 'acknowledged',
      hash,
    } as const;
    load = new CrashLoad(new DiskModel(setting), new Random(SEED), DEPTH);
    await load.open(tapdisk.deviceDirectory);
  });
  afterEach(async () => {
    load.close();
    await tapdisk.stop();
    tapdisk.remove();
  });

  async function verified(): Promise<void> {
    await load.quiesce();
    await load.verifyAll();
    const { failures, mismatches } = load;
    expect({ failures, mismatches }).toEqual({ failures: 0, mismatches: [] });
  }

  test('again and again, under load', async () => {
    for (let i = 0; i < HAND_OVERS; i++) {
      load.start();
      await tapdisk.standBy();
      expect(await tapdisk.status(tapdisk.standbyPid)).toMatchObject({ state: 'standby' });
      const before = load.answered;
      while (load.answered < before + 100) await sleep(5);
      const heir = tapdisk.standbyPid;
      const { to } = await tapdisk.handOver();
      expect(to.endsWith(`:${heir}`)).toBe(true);
      expect(tapdisk.pid).toBe(heir);
      const after = load.answered;
      while (load.answered < after + 100) await sleep(5);
      expect(await tapdisk.status(heir)).toMatchObject({ state: 'running', reason: null });
    }
    await verified();
  });

  test('with nobody who stands by is refused, and interrupts nothing', async () => {
    load.start();
    const asking = callProcess(tapdisk.socketOf(tapdisk.pid), 'handOver', { cookie: COOKIE });
    await expect(asking).rejects.toMatchObject({ code: 'STANDBY_NOT_FOUND' });
    await tapdisk.standBy();
    const other = { cookie: COOKIE, to: 'elsewhere:1' };
    const naming = callProcess(tapdisk.socketOf(tapdisk.pid), 'handOver', other);
    await expect(naming).rejects.toMatchObject({ code: 'STANDBY_NOT_FOUND' });
    expect(load.reconnects).toBe(0);
    await verified();
  });

  test('a standby takes the disk of a process that was killed', async () => {
    load.start();
    await tapdisk.standBy();
    const standing = callProcess(tapdisk.socketOf(tapdisk.standbyPid), 'pause', { cookie: COOKIE });
    await expect(standing).rejects.toMatchObject({ code: 'DISK_STANDBY' });
    await tapdisk.kill();
    await tapdisk.handedOver();
    await verified();
  });

  test('a standby that is closed takes nothing', async () => {
    await tapdisk.standBy();
    await callProcess(tapdisk.socketOf(tapdisk.standbyPid), 'detach', { cookie: COOKIE });
    await expect(tapdisk.handOver()).rejects.toMatchObject({ code: 'STANDBY_NOT_FOUND' });
    await verified();
  });
});
