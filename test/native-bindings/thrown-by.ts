/** What a call throws, so that a test can look at more than its message. */

/** Fails the test where the call throws nothing. */
export function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
