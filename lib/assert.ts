/** Assertions that stay in production: a broken invariant stops the work at once. */

/** Throws when a condition that the code relies on does not hold. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** A programming error: an invariant of this code did not hold. */
export class AssertionError extends Error {
  readonly code = 'ASSERTION';

  constructor(invariant: string) {
    super(`invariant broken: ${invariant}`);
    this.name = 'AssertionError';
  }
}
