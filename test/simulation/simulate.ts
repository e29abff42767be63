/**
 * Runs many seeds of the simulation, or finds out after how many each planted bug is found.
 *
 * SEED=n begins with that seed, SEEDS=n runs so many. A seed that fails is run once more, told. With
 * BUGS=1 each planted bug must be found within the seeds.
 */
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs';
import { newTally } from './referee';
import { simulate } from './simulation';

const firstSeed = Number(process.env.SEED ?? 1);
const seeds = Number(process.env.SEEDS ?? 1000);
const withBugs = process.env.BUGS === '1';
/** After so many it is no chance any more. */
const FAILURES_MAX = 5;
const PROGRESS_MS = 10_000;

async function runAll(): Promise<boolean> {
  const tally = newTally();
  const begin = performance.now();
  let events = 0;
  let failures = 0;
  let toldAt = begin;
  for (let seed = firstSeed; seed < firstSeed + seeds && failures < FAILURES_MAX; seed++) {
    const result = await simulate({ seed });
    events += result.events;
    for (const key of Object.keys(tally) as (keyof typeof tally)[]) tally[key] += result.tally[key];
    if (result.violation !== null) {
      failures++;
      await tell(seed);
    }
    if (performance.now() - toldAt < PROGRESS_MS) continue;
    toldAt = performance.now();
    console.log(`${seed - firstSeed + 1} seeds, ${failures} violations`);
  }
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.log(`seeds ${firstSeed} to ${firstSeed + seeds - 1}, ${events} events, ${seconds} s`);
  for (const [what, count] of Object.entries(tally)) console.log(`  ${what}: ${count}`);
  console.log(`violations: ${failures}`);
  return failures === 0;
}

async function tell(seed: number): Promise<void> {
  console.log(`--- seed ${seed}`);
  const { violation } = await simulate({ seed, trace: (line) => console.log(line) });
  console.log(`--- seed ${seed}: ${violation}; again by: make simulate SEED=${seed} SEEDS=1`);
}

async function findBugs(): Promise<boolean> {
  let areAllFound = true;
  for (const [name, bug] of Object.entries(PLANTED_BUGS)) {
    const found = await find(bug);
    if (found === null) areAllFound = false;
    const outcome =
      found === null
        ? `NOT FOUND within ${seeds} seeds`
        : `found after ${found.after} seeds, by seed ${found.seed}: ${found.violation}`;
    console.log(`planted: ${name}: ${outcome}`);
  }
  return areAllFound;
}

interface Found {
  readonly after: number;
  readonly seed: number;
  readonly violation: string;
}

async function find(bug: PlantedBug): Promise<Found | null> {
  for (let after = 1; after <= seeds; after++) {
    const seed = firstSeed + after - 1;
    const { violation } = await simulate({ seed, bug });
    if (violation !== null) return { after, seed, violation };
  }
  return null;
}

async function main(): Promise<void> {
  const isFine = withBugs ? await findBugs() : await runAll();
  process.exitCode = isFine ? 0 : 1;
}

void main();
