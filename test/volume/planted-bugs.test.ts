/** The reference disk must catch what it is there to catch. */
import { PLANTED_BUGS } from './doubles/planted-bugs';
import { holdTimers } from './doubles/held-timers';
import { firstSeed } from './doubles/random';
import { runRandomDisk } from './doubles/random-disk';

/** Far more than it takes; other work on the machine is no failure. */
jest.setTimeout(120_000);

/** Deadlines of processes that were killed in the middle would keep this one alive. */
beforeAll(() => holdTimers());
afterAll(() => jest.useRealTimers());

const SEEDS_MAX = 40;
const STEPS = 800;

test.each(Object.keys(PLANTED_BUGS))('the reference disk catches %s', async (bug) => {
  const wrappers = PLANTED_BUGS[bug];
  for (let seed = firstSeed(); seed < firstSeed() + SEEDS_MAX; seed++) {
    try {
      await runRandomDisk({ seed, steps: STEPS, wrappers });
    } catch (error) {
      expect((error as Error).message).toMatch(/^seed \d+: sector \d+ reads \d+, but only \[/);
      return;
    }
  }
  throw new Error(`${SEEDS_MAX} seeds from ${firstSeed()} on did not show it`);
});
