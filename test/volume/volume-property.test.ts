/** Random requests, kills, power cuts and snapshots against the reference disk. */
import { holdTimers } from './doubles/held-timers';
import { firstSeed } from './doubles/random';
import { emptyTally, runRandomDisk, type Tally } from './doubles/random-disk';
import type { Faults } from './doubles/schedule';

/** Far more than it takes; other work on the machine is no failure. */
jest.setTimeout(120_000);

/** Deadlines of processes that were killed in the middle would keep this one alive. */
beforeAll(() => holdTimers());
afterAll(() => jest.useRealTimers());

const SEEDS = Number(process.env.SEEDS ?? 8);
const STEPS = 1000;
const ENOSPC = 28;
const EIO = 5;

async function runSeeds(faults?: Faults): Promise<Tally> {
  const sum = emptyTally();
  for (let seed = firstSeed(); seed < firstSeed() + SEEDS; seed++) {
    const tally = await runRandomDisk({ seed, steps: STEPS, ...(faults && { faults }) });
    for (const key of Object.keys(sum) as (keyof Tally)[]) sum[key] += tally[key];
  }
  return sum;
}

test('what was acknowledged reads back, and what was flushed survives a power cut', async () => {
  const tally = await runSeeds();
  expect(tally.failures).toBe(0);
  for (const count of Object.values({ ...tally, failures: 1 })) expect(count).toBeGreaterThan(0);
});

test.each<Faults>([
  { kind: 'write', probability: 0.1, errno: ENOSPC },
  { kind: 'read', probability: 0.1, errno: EIO },
  { kind: 'punch', probability: 0.1, errno: EIO },
  { kind: 'commit', probability: 0.2, errno: EIO },
  { kind: 'sync', probability: 0.2, errno: EIO },
])('a $kind that fails in the middle harms nothing else', async (faults) => {
  const tally = await runSeeds(faults);
  expect(tally.failures).toBeGreaterThan(0);
});
