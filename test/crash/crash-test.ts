/**
 * Kills a serving tapdisk at random instants and checks that nothing acknowledged is lost.
 *
 * The guest's side lives on, as a guest does when only its disk's process dies: it sends what was
 * not answered again. After every tenth kill, and at the end, the whole disk is read and compared.
 * Last, a sector that was written and flushed is lost from the store, and the checker must find it.
 */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { DiskModel } from '../../lib/trace/disk-model';
import { TapdiskUnderTest } from '../e2e/tapdisk-under-test';
import { CrashLoad } from './crash-load';
import { Random } from './random';

const KILLS = Number(process.env.KILLS ?? 200);
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const DEPTH = 16;
const DISK_BYTES = 48 * 2 ** 20;
const CHUNK_BYTES = 64 * 1024;
const LONGEST_LIFE_MS = 150;
const SECTOR_BYTES = 512;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Zeroes the sector of that content in the extent file that holds it, as a lost write-back would
 * leave it. Content is found by itself, so this need not know where a chunk lies.
 */
function plantLoss(poolDirectory: string, content: Buffer): void {
  const layers = join(poolDirectory, 'layers');
  const zeros = Buffer.alloc(SECTOR_BYTES);
  for (const layer of readdirSync(layers)) {
    for (const extent of readdirSync(join(layers, layer))) {
      const path = join(layers, layer, extent);
      const at = readFileSync(path).indexOf(content);
      if (at < 0) continue;
      const fd = openSync(path, 'r+');
      writeSync(fd, zeros, 0, SECTOR_BYTES, at);
      closeSync(fd);
      return;
    }
  }
  throw new Error('no extent file holds the sector that was written and flushed');
}

async function main(): Promise<number> {
  say(`crash test: ${KILLS} kills, seed ${SEED} (SEED=${SEED} repeats the choices)`);
  const random = new Random(SEED);
  const tapdisk = await TapdiskUnderTest.create({ sizeBytes: DISK_BYTES, chunkBytes: CHUNK_BYTES });
  const sectors = DISK_BYTES / SECTOR_BYTES;
  const model = new DiskModel({
    sectors,
    seed: SEED,
    expectZero: true,
    survives: 'acknowledged',
    hash: await loadPayloadHash(),
  });
  const load = new CrashLoad(model, random, DEPTH);
  await tapdisk.start();
  await load.open(tapdisk.deviceDirectory);
  for (let kill = 1; kill <= KILLS; kill++) {
    load.start();
    await sleep(random.below(LONGEST_LIFE_MS));
    await tapdisk.kill();
    await tapdisk.start();
    await load.quiesce();
    if (kill % 10 !== 0) continue;
    await load.verifyAll();
    say(`  ${kill} kills, ${load.answered} requests answered, ${load.mismatchCount} lost`);
    if (load.mismatchCount > 0) break;
  }
  await load.verifyAll();
  const lost = load.mismatchCount;
  for (const mismatch of load.mismatches) say(JSON.stringify(mismatch));
  say(`requests: ${load.answered}, failed: ${load.failures}, reconnects: ${load.reconnects}`);
  say(`lost: ${lost}`);
  const flushed = await load.writeFlushed(random.below(sectors));
  await tapdisk.kill();
  plantLoss(tapdisk.poolDirectory, flushed);
  await tapdisk.start();
  await load.verifyAll();
  const caught = load.mismatchCount > lost;
  say(`planted loss: ${caught ? 'caught' : 'NOT caught'}`);
  load.close();
  await tapdisk.stop();
  tapdisk.remove();
  const passed = lost === 0 && load.failures === 0 && caught;
  say(passed ? 'crash test passed' : 'crash test FAILED');
  return passed ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(
      `crash test FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    process.exit(1);
  },
);
