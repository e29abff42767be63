/**
 * A few seeds of the simulation (make simulate runs more), and what it is there to find.
 *
 * SEED=n begins with another seed.
 */
import { PLANTED_BUGS } from './planted-bugs';
import { newTally } from './referee';
import { simulate } from './simulation';

/** Far more than it takes; other work on the machine is no failure. */
jest.setTimeout(300_000);

const firstSeed = Number(process.env.SEED ?? 1);
const SEEDS = 150;
/** The rarer ones are found by make test-simulation, which has the time. */
const BUG_SEEDS = 400;
const QUICKLY_FOUND = [
  'no self-fence',
  'a commit that does not compare the lock',
  'no wait after an owner that did not release',
];

test('no two owners mix, nothing acknowledged is lost, and somebody serves in the end', async () => {
  const tally = newTally();
  for (let seed = firstSeed; seed < firstSeed + SEEDS; seed++) {
    const result = await simulate({ seed });
    if (result.violation !== null) throw new Error(await storyOf(seed));
    for (const key of Object.keys(tally) as (keyof typeof tally)[]) tally[key] += result.tally[key];
  }
  // Everything that it is about did happen.
  for (const count of Object.values(tally)) expect(count).toBeGreaterThan(0);
});

test('a seed repeats its history', async () => {
  const [one, other] = [await storyOf(firstSeed), await storyOf(firstSeed)];
  expect(one).toBe(other);
  expect(one.split('\n').length).toBeGreaterThan(20);
});

test.each(QUICKLY_FOUND)('it finds %s', async (name) => {
  for (let seed = firstSeed; seed < firstSeed + BUG_SEEDS; seed++) {
    const { violation } = await simulate({ seed, bug: PLANTED_BUGS[name] });
    if (violation === null) continue;
    console.log(`${name}: found after ${seed - firstSeed + 1} seeds: ${violation}`);
    return;
  }
  throw new Error(`${BUG_SEEDS} seeds from ${firstSeed} on did not show it`);
});

async function storyOf(seed: number): Promise<string> {
  const lines: string[] = [];
  const { violation } = await simulate({ seed, trace: (line) => lines.push(line) });
  return [...lines, `seed ${seed}: ${violation}`].join('\n');
}
