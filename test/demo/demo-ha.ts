/**
 * High availability, for a person to watch: three etcd members and two hosts on one machine. A guest
 * writes and verifies; the process that owns its disk is killed; the other host, which stood by, goes
 * on. Ends with exit code 0 only without a mismatch.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilUndone } from '../bench/left-behind';
import { Host } from '../cluster/host';
import { newLoadedVolume } from '../cluster/loaded-volume';
import { kill } from '../cluster/processes';
import { ms } from '../cluster/quantile';
import type { VerifiedGuest } from '../cluster/verified-guest';
import { RealEtcd } from '../etcd/real-etcd';

const VOLUME = 'ha/disk';
const MIB = 2 ** 20;
const DISK_BYTES = 64 * MIB;
const CHUNK_BYTES = MIB / 16;
const DEPTH = 16;
const LEASE_TTL_MS = 5_000;
const TAKE_OVER_WAIT_MS = 1_000;
/** Load before the kill, and after it. */
const LOADED_MS = 5_000;
const PROGRESS_MS = 1_000;

const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-demo-ha-'));
const forgetDirectory = untilUndone(() => rmSync(directory, { recursive: true, force: true }));

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function newHost(name: string): Host {
  const show = (words: readonly string[]): void =>
    say(`${name}$ tapdisk-ts ${words.join(' ').replaceAll(directory, '.')}`);
  return new Host(name, directory, undefined, show);
}

async function load(guest: VerifiedGuest, durationMs: number): Promise<void> {
  const until = performance.now() + durationMs;
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, PROGRESS_MS));
    say(`  guest: ${guest.answered} requests, ${guest.flushes} flushes, ${verdict(guest)}`);
  }
}

function verdict({ failures, mismatchCount }: VerifiedGuest): string {
  return `failed: ${failures}, mismatches: ${mismatchCount}`;
}

async function main(): Promise<boolean> {
  const startedMs = performance.now();
  say('three members of etcd start on this machine');
  const etcd = await RealEtcd.start({ members: 3 });
  const [a, b] = ['host-a', 'host-b'].map(newHost);
  mkdirSync(join(directory, 'shared'), { mode: 0o700 });
  const options = [
    ...['--path', join(directory, 'shared', 'pool'), '--etcd', etcd.endpoints.join(',')],
    ...['--lease-ttl', String(LEASE_TTL_MS / 1_000)],
    ...['--take-over-wait', String(TAKE_OVER_WAIT_MS / 1_000)],
  ];
  await a.succeed('pool', 'create', 'ha', ...options);
  await b.succeed('pool', 'join', 'ha', ...options);
  const seed = Date.now() % 2 ** 31;
  const guest = await newLoadedVolume(a, {
    ...{ seed, volume: VOLUME, sizeBytes: DISK_BYTES, chunkBytes: CHUNK_BYTES, depth: DEPTH },
  });
  const served = await a.attach(VOLUME);
  const next = b.newRing();
  await b.standBy(VOLUME, next);
  await guest.connect(served.ring);
  guest.start();
  await load(guest, LOADED_MS);
  const moved = guest.move(next.ring);
  say(`host-a$ kill -9 ${served.pid}   # the owner, after ${guest.answered} requests`);
  const killedMs = performance.now();
  await kill(served.pid);
  await moved;
  say(
    `host-b goes on, ${ms(performance.now() - killedMs)} after the kill (lease ${ms(LEASE_TTL_MS)})`,
  );
  await load(guest, LOADED_MS);
  await guest.quiesce();
  await guest.verifyAll();
  say(await b.succeed('pool', 'status', 'ha'));
  await b.succeed('detach', VOLUME);
  guest.close();
  await etcd.stop();
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  say(
    `demo-ha: ${guest.answered} requests, failed: ${guest.failures}, one host lost, ${seconds} s;`,
  );
  say(`mismatches: ${guest.mismatchCount}`);
  return guest.failures === 0 && guest.mismatchCount === 0;
}

// Whatever ends it early has not passed.
process.exitCode = 1;

main().then(
  (passed) => {
    rmSync(directory, { recursive: true, force: true });
    forgetDirectory();
    process.exit(passed ? 0 : 1);
  },
  (error: unknown) => {
    say(`demo-ha failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
