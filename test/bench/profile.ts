/** Profiles a serving process while something loads it, by the probe that was loaded into it. */
import { readFileSync, rmSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type ProfileKind = 'allocations' | 'time';

export interface Profile {
  /** Function with its place, and its own share: bytes allocated, or µs. */
  readonly places: readonly (readonly [place: string, amount: number])[];
  /** Garbage collections meanwhile. */
  readonly collections: number;
}

const DEADLINE_MS = 30_000;
const POLL_MS = 20;

/** What a process needs in its environment to be profiled. */
export function profileEnvironment(kind: ProfileKind, file: string): Record<string, string> {
  return {
    NODE_OPTIONS: `--require ${join(__dirname, 'profile-probe.js')}`,
    TAPDISK_TS_BENCH_PROFILE: file,
    TAPDISK_TS_BENCH_KIND: kind,
  };
}

export async function profile<T>(
  pid: number,
  file: string,
  run: () => Promise<T>,
): Promise<{ result: T; profile: Profile }> {
  await signalAndRead(pid, file);
  const result = await run();
  return { result, profile: await signalAndRead(pid, file) };
}

async function signalAndRead(pid: number, file: string): Promise<Profile> {
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  const deadline = performance.now() + DEADLINE_MS;
  while (!existsSync(file)) {
    if (performance.now() > deadline) throw new Error(`process ${pid} wrote no profile`);
    await sleep(POLL_MS);
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Profile;
}
