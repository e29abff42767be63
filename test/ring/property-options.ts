/** The seed of this room's property tests: fixed, unless SEED says otherwise. */

/** For fc.assert, which prints the seed and the smallest counterexample of a failure. */
export function runs(numRuns: number): { seed: number; numRuns: number } {
  return { seed: Number(process.env.SEED ?? 20260301), numRuns };
}
