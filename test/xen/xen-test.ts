/**
 * `make test-xen`: boots Xen in QEMU and runs the cases, all in one boot. `CASE='a b'` runs some;
 * `KEEP=1` leaves the lab running, and the next run takes it with the newest build.
 */
import { rmSync } from 'node:fs';
import { chosenCases } from '../chosen';
import { CASES, ON_DEMAND } from './cases';
import {
  type Case,
  deletePool,
  destroySharedGuest,
  POOL,
  POOL_DIRECTORY,
  poolFile,
  sharedGuest,
  Site,
} from './lab/case';
import { daemonRuns, startDaemon } from './lab/daemon';
import { keepEvidence } from './lab/evidence';
import { Lab } from './lab/lab';
import { FAILURES } from './lab/paths';
import { runsNewestImages } from './lab/qemu';
import { refresh } from './lab/refresh';

const KEEP = process.env.KEEP === '1';

const say = (text: string): boolean => process.stdout.write(`${text}\n`);
const since = (startedMs: number): string =>
  `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;

async function bootOrTake(): Promise<Lab> {
  const running = await Lab.running();
  if (running !== null && KEEP && runsNewestImages()) {
    await refresh(running);
    return running;
  }
  await running?.end();
  return Lab.boot();
}

async function prepare(lab: Lab): Promise<void> {
  const known = await lab.run(`[ -e ${poolFile(POOL)} ]`);
  if (known.status !== 0) await lab.dom0(`tapdisk-ts pool create ${POOL} --path ${POOL_DIRECTORY}`);
  const starting = (await daemonRuns(lab)) ? null : startDaemon(lab);
  await Promise.all([starting, sharedGuest(lab)]);
}

/** @returns whether it passed */
async function runCase(name: string, one: Case, lab: Lab): Promise<boolean> {
  const startedMs = performance.now();
  const site = new Site(lab, name, say);
  try {
    const figures = await one(site);
    await site.cleanUp();
    site.leaveVolumes();
    say(`ok     ${name} (${since(startedMs)}): ${figures}`);
    return true;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const file = await keepEvidence(lab, name, text, site.guests);
    say(`FAILED ${name} (${since(startedMs)}): ${text}\n       more in ${file}`);
    await site.cleanUp().catch((left: unknown) => say(`       ${String(left)}`));
    return false;
  }
}

async function main(): Promise<number> {
  const cases = chosenCases(process.env.CASE ? { ...CASES, ...ON_DEMAND } : CASES);
  rmSync(FAILURES, { recursive: true, force: true });
  const startedMs = performance.now();
  const lab = await bootOrTake();
  say(`dom0 takes commands after ${since(startedMs)}`);
  let failed = 0;
  try {
    await prepare(lab);
    for (const [name, one] of cases) if (!(await runCase(name, one, lab))) failed++;
    await destroySharedGuest(lab);
    await deletePool(lab);
  } finally {
    if (KEEP) lab.leave();
    else await lab.end();
  }
  say(`${cases.length} cases, failed: ${failed}, in ${since(startedMs)}`);
  return failed === 0 ? 0 : 1;
}

// Whatever ends it early has not passed.
process.exitCode = 1;

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(`the Xen lab FAILED: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
