/**
 * The main job, for a person to watch: what a real guest on Xen asked of its disk is replayed and
 * verified; then a tapdisk started by its pipes serves a volume, a mixed trace is replayed and
 * verified, the process is killed in the middle, and nothing is lost.
 *
 * Runs the commands that a user would type; ends with exit code 0 only without a mismatch.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod/v3';
import type { DiskStatistics } from '../../lib/control/disk-host';
import { callProcess, findRunningDisk } from '../../lib/control/socket-client';
import { PROJECT_ROOT } from '../project-root';

const REQUESTS = 24_000;
const VOLUME_SIZE = '2G';
const VOLUME = 'demo/disk';
/** Boot, mkfs, files, fsync, fstrim: docs/xen-lab.md says how it is recorded. */
const GUEST_TRACE = join(PROJECT_ROOT, 'test/trace/recorded/xen-guest.trace');
/** The share of the trace after which the process is killed. */
const KILL_AFTER = 0.4;
const KILL_DEADLINE_MS = 60_000;
const POLL_MS = 5;

const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-demo-'));
const env = {
  ...process.env,
  TAPDISK_TS_CONFIG_DIR: join(directory, 'config'),
  TAPDISK_TS_RUNTIME_DIR: join(directory, 'run'),
};
const rings = join(directory, 'rings');
const program = join(PROJECT_ROOT, 'bin/tapdisk-ts');

const attachedSchema = z.object({ pid: z.number(), device: z.string() });
const countersSchema = z.object({
  requests: z.record(z.string(), z.object({ requests: z.number() })),
});

function say(text: string): void {
  process.stdout.write(text);
}

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Starts `tapdisk-ts …`; what it prints is shown unless it is JSON for us. */
function command(...words: string[]): Promise<Ended> {
  const shown = words.join(' ').replaceAll(directory, '.').replaceAll(`${PROJECT_ROOT}/`, '');
  say(`$ tapdisk-ts ${shown}\n`);
  const show = !words.includes('--json');
  const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    output += text;
    if (show) say(text);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

async function succeed(...words: string[]): Promise<Ended> {
  const ended = await command(...words);
  if (ended.code !== 0) throw new Error(`tapdisk-ts ${words[0]} ended with code ${ended.code}`);
  return ended;
}

/** Kills the serving process with -9 once it has answered its share of the trace. */
async function killInTheMiddle(pid: number): Promise<void> {
  const deadline = performance.now() + KILL_DEADLINE_MS;
  while (performance.now() < deadline) {
    const { socketPath, disk } = await findRunningDisk(VOLUME, pid, env);
    const statistics = await callProcess(socketPath, 'statistics', { cookie: disk.cookie });
    if (answered(statistics) >= REQUESTS * KILL_AFTER) {
      say(`$ kill -9 ${pid}   # after ${answered(statistics)} requests\n`);
      process.kill(pid, 'SIGKILL');
      return;
    }
    await sleep(POLL_MS);
  }
  throw new Error('the tapdisk did not get to the middle of the trace');
}

function answered(statistics: DiskStatistics): number {
  const { requests } = countersSchema.parse(statistics);
  return Object.values(requests).reduce((sum, of) => sum + of.requests, 0);
}

async function attach(...words: string[]): Promise<number> {
  const { output } = await succeed(
    'attach',
    VOLUME,
    '--device',
    `shm:${rings}`,
    ...words,
    '--json',
  );
  const { pid, device } = attachedSchema.parse(JSON.parse(output));
  say(`  process ${pid} serves ${device.replace(directory, '.')}\n`);
  return pid;
}

async function main(): Promise<void> {
  const startedMs = performance.now();
  // Without a volume it makes one, with a process of its own.
  await succeed('replay', GUEST_TRACE, '--expect-zero');
  mkdirSync(rings, { mode: 0o700 });
  const trace = join(directory, 'mixed.trace');
  await succeed('pool', 'create', 'demo', '--path', join(directory, 'pool'));
  await succeed('create', VOLUME, '--size', VOLUME_SIZE);
  await succeed('trace', 'make', trace, '--size', VOLUME_SIZE, '--count', String(REQUESTS));
  const first = await attach();
  const replay = succeed(
    ...['replay', trace, '--device', `shm:${rings}/blktap0`, '--expect-zero'],
    ...['--survives', 'acknowledged', '--reconnect', '60'],
  );
  await Promise.race([replay, killInTheMiddle(first)]);
  await attach('--minor', '0');
  const { output } = await replay;
  await succeed('detach', VOLUME);
  const [mismatches] = /mismatches: \d+/.exec(output) ?? ['mismatches: not told'];
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  say(`demo: ${REQUESTS} requests, one kill -9, ${seconds} s; ${mismatches}\n`);
  if (mismatches !== 'mismatches: 0') throw new Error('not what was written was read');
}

void main()
  .then(
    () => 0,
    (error: unknown) => {
      say(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
      return 1;
    },
  )
  .then((code) => {
    rmSync(directory, { recursive: true, force: true });
    process.exit(code);
  });
