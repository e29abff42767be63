/** Tests that this machine may be unable to run: skipped there, and the run's output says why. */

/** `describe` where `absence` is null, else `describe.skip`, told as "WHAT skipped: ABSENCE". */
export function describeWhere(absence: string | null, what: string): jest.Describe {
  return told(absence, what) ? describe.skip : describe;
}

/** As `describeWhere`, for a single test. */
export function testWhere(absence: string | null, what: string): jest.It {
  return told(absence, what) ? test.skip : test;
}

function told(absence: string | null, what: string): boolean {
  if (absence !== null) console.log(`${what} skipped: ${absence}`);
  return absence !== null;
}
