/** Limits of pools, and what happens at each. */

/** Longest wait before an unclean owner's volume is used that a pool's file may ask for. */
export const TAKE_OVER_WAIT_MS_MAX = 600_000;

/** One attempt of `pool status` or `doctor` on one member; then it is told as not answering. */
export const CLUSTER_ATTEMPT_MS = 2_000;

/** Lease of `doctor`'s trial; it ends by itself where the trial is cut short. */
export const CHECK_LEASE_MS = 5_000;

/** Difference of two clocks after a fifth of a second beyond which `doctor` finds fault. */
export const CLOCK_DRIFT_MS_MAX = 20;
