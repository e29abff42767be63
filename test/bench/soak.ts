/**
 * `make soak`: at least a million mixed requests through a ring and an NBD export at once, two
 * volumes of one pool, and everything read is compared with what was written.
 *
 * The ring is driven by `tapdisk-ts replay` with a trace made up for it (SEED), whose judge is the
 * disk model; NBD by fio's nbd engine, which verifies what it wrote by its own checksums. With
 * PLANT=1 the soak overwrites some of the disks' bytes itself, and succeeds only if both notice.
 */
import { execFile, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod/v3';
import { PROJECT_ROOT } from '../project-root';
import { LineChild } from './child';
import { untilUndone } from './left-behind';
import { BENCH_DIRECTORY, MEMORY_DIRECTORY, MIB } from './settings';

const run = promisify(execFile);

const RING_REQUESTS = Number(process.env.RING_REQUESTS ?? 600_000);
/** Writes, and as many reads of what they wrote. */
const NBD_REQUESTS = Number(process.env.NBD_REQUESTS ?? 500_000);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const PLANT = process.env.PLANT === '1';

const VOLUMES = ['ring', 'nbd'];
const DISK_MIB = 1024;
const POLL_MS = 50;
const PLANT_AFTER_MS = 3000;
const PLANT_EVERY_BYTES = 2 * MIB;
const DEADLINE_MS = 20 * 60_000;
const OUTPUT_BYTES_MAX = 64 * MIB;

const program = join(PROJECT_ROOT, 'bin/tapdisk-ts');
const directory = mkdtempSync(join(MEMORY_DIRECTORY, 'tapdisk-ts-soak-'));
const pool = mkdtempSync(join(BENCH_DIRECTORY, 'soak-'));
const rings = join(directory, 'rings');
const env = {
  ...process.env,
  TAPDISK_TS_CONFIG_DIR: join(directory, 'config'),
  TAPDISK_TS_RUNTIME_DIR: join(directory, 'run'),
};
untilUndone(() => {
  for (const path of [directory, pool]) rmSync(path, { recursive: true, force: true });
});

interface Verified {
  readonly requests: number;
  readonly mismatches: number;
}

const attached = z.object({ pid: z.number() });
const pass = z.object({
  end: z.string(),
  total: z.object({ requests: z.number(), errors: z.number() }),
});
const replayed = z.object({ mismatches: z.number(), replay: pass, readBack: pass.nullable() });
const job = z.object({
  error: z.number(),
  read: z.object({ total_ios: z.number() }),
  write: z.object({ total_ios: z.number() }),
});

function say(text: string): void {
  process.stdout.write(text);
}

async function command(...words: string[]): Promise<string> {
  return (await run(program, words, { env })).stdout;
}

/** Its output, whatever its exit code: a mismatch ends both clients with one other than 0. */
function outputOf(file: string, words: readonly string[]): Promise<string> {
  const child = spawn(file, words, { env, cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  const forget = untilUndone(() => child.kill('SIGKILL'));
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-OUTPUT_BYTES_MAX);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 2000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(timer);
      forget();
      if (output.includes('{')) resolve(output.slice(output.indexOf('{')));
      else reject(new Error(`${file} ended without a result: ${complaint}`));
    });
  });
}

async function throughRing(): Promise<Verified> {
  const trace = join(pool, 'soak.trace');
  await command(
    ...['trace', 'make', trace, '--size', `${DISK_MIB}M`],
    ...['--count', String(RING_REQUESTS), '--seed', String(SEED)],
  );
  const { pid } = attached.parse(
    JSON.parse(await command('attach', 'soak/ring', '--device', `shm:${rings}`, '--json')),
  );
  const forget = untilUndone(() => process.kill(pid, 'SIGKILL'));
  const device = `shm:${rings}/blktap0`;
  const words = ['replay', trace, '--device', device, '--expect-zero', '--json'];
  const result = replayed.parse(JSON.parse(await outputOf(program, words)));
  await command('detach', 'soak/ring');
  forget();
  const passes = [result.replay, ...(result.readBack === null ? [] : [result.readBack])];
  for (const { end, total } of passes) {
    if (end !== 'done') throw new Error(`the replay ended early: ${end}`);
    if (total.errors > 0) throw new Error(`${total.errors} requests of the ring failed`);
  }
  const requests = passes.reduce((sum, { total }) => sum + total.requests, 0);
  return { requests, mismatches: result.mismatches };
}

async function throughNbd(): Promise<Verified> {
  const socket = join(directory, 'nbd.sock');
  const words = ['serve', 'nbd', 'soak/nbd', '--listen', `unix:${socket}`];
  const server = new LineChild(program, words, env);
  await server.answer();
  const output = await outputOf('fio', [
    '--name=soak',
    '--ioengine=nbd',
    `--uri=nbd+unix:///soak/nbd?socket=${socket}`,
    `--size=${DISK_MIB}M`,
    '--rw=randwrite',
    '--bssplit=4k/70:8k/10:16k/10:44k/5:64k/5',
    '--iodepth=32',
    `--number_ios=${NBD_REQUESTS}`,
    '--io_size=1T',
    `--randseed=${SEED}`,
    '--verify=crc32c-intel',
    '--verify_backlog=4096',
    '--verify_fatal=0',
    '--verify_state_save=0',
    '--thread',
    '--output-format=json',
  ]);
  await server.stop();
  const { jobs } = z.object({ jobs: z.tuple([job]) }).parse(JSON.parse(output));
  const [{ error, read, write }] = jobs;
  return { requests: read.total_ios + write.total_ios, mismatches: error === 0 ? 0 : 1 };
}

/** Damage that both judges must find, on disks that are being written and read. */
async function plant(): Promise<void> {
  const layers = join(pool, 'pool', 'layers');
  // Both volumes have been written to for a while.
  while (!existsSync(layers) || readdirSync(layers).length < VOLUMES.length) await sleep(POLL_MS);
  await sleep(PLANT_AFTER_MS);
  const garbage = Buffer.alloc(4096, 0xa5);
  for (const layer of readdirSync(layers)) {
    for (const extent of readdirSync(join(layers, layer))) {
      const fd = openSync(join(layers, layer, extent), 'r+');
      const { size } = fstatSync(fd);
      for (let at = 0; at + garbage.length <= size; at += PLANT_EVERY_BYTES) {
        writeSync(fd, garbage, 0, garbage.length, at);
      }
      closeSync(fd);
    }
  }
}

async function main(): Promise<boolean> {
  mkdirSync(rings, { mode: 0o700 });
  await command('pool', 'create', 'soak', '--path', join(pool, 'pool'));
  for (const volume of VOLUMES) {
    await command('create', `soak/${volume}`, '--size', `${DISK_MIB}M`);
  }
  say(`soak: seed ${SEED}, ${RING_REQUESTS} requests for the ring, ${NBD_REQUESTS} for NBD\n`);
  const startedMs = performance.now();
  const [ring, nbd] = await Promise.all([throughRing(), throughNbd(), PLANT ? plant() : undefined]);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  say(
    `soak: ${ring.requests} requests through the ring, ${nbd.requests} through NBD, ${seconds} s; ` +
      `mismatches: ${ring.mismatches + nbd.mismatches}\n`,
  );
  if (PLANT) {
    say(`planted damage: the ring's judge ${found(ring)}, NBD's ${found(nbd)}\n`);
    return ring.mismatches > 0 && nbd.mismatches > 0;
  }
  return ring.mismatches + nbd.mismatches === 0;
}

function found({ mismatches }: Verified): string {
  return mismatches > 0 ? 'found it' : 'did not find it';
}

main().then(
  (passed) => process.exit(passed ? 0 : 1),
  (error: unknown) => {
    say(`soak failed: ${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
    process.exit(1);
  },
);
