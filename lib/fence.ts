/** What says, at any instant, whether this process may still serve a volume that others can take. */

export const FENCE_OPEN = 0;
/** The right is unconfirmed: requests wait, neither failed nor acknowledged. */
export const FENCE_WAITING = 1;
/** Another has the volume: every waiting request fails, and every later one. */
export const FENCE_LOST = 2;

export type FenceState = typeof FENCE_OPEN | typeof FENCE_WAITING | typeof FENCE_LOST;

export interface Fence {
  /**
   * Reads the clock, so it is right however long the process was stopped before the call. Cheap
   * enough to ask before each batch is handed to a store and before each batch is acknowledged.
   */
  state(): FenceState;

  /**
   * Calls back when the right was confirmed after it had run out, and when it is lost (once). That
   * it has run out is told by `state` alone.
   *
   * @returns a function that ends the calls
   */
  onChange(listener: (state: FenceState) => void): () => void;
}
