/** The limits of the coordination by etcd, and what happens at each. */

/** One attempt of a call. A member that is silent for longer is passed over for another. */
export const ATTEMPT_MS_MAX = 2_000;

/**
 * All attempts of a call that somebody waits for: create, list, attach, delete, … Then it fails
 * with etcd's own code. An attached volume never gives up: it waits for etcd as long as it takes.
 */
export const CALL_BUDGET_MS = 15_000;

/** A release or hand-over that is not confirmed after this fails; the lease then ends by itself. */
export const RELEASE_BUDGET_MS = 10_000;

/** Lease of an attachment where nobody says otherwise, and the bounds of what may be said. */
export const LEASE_TTL_MS_DEFAULT = 10_000;
export const LEASE_TTL_MS_MIN = 2_000;
export const LEASE_TTL_MS_MAX = 300_000;

/**
 * From sending the last keep-alive that was confirmed until the owner stops by itself: this share
 * of the lease, and at least so much before its end. A leader that was replaced and does not know
 * it yet may confirm keep-alives for an election time-out (1 s by default) in vain.
 */
export const FENCE_SHARE = 0.6;
export const FENCE_MARGIN_MS_MIN = 1_200;

/** Pause between two keep-alives, and what one attempt may take, as shares of the lease. */
export const KEEP_ALIVE_SHARE = 1 / 4;
export const KEEP_ALIVE_ATTEMPT_SHARE = 1 / 8;
export const KEEP_ALIVE_ATTEMPT_MS_MAX = 1_000;

/** Pause after a keep-alive or commit that failed; the next attempt goes to another member. */
export const KEEP_ALIVE_RETRY_MS = 100;
export const COMMIT_RETRY_MS = 100;

/** Pause where trying again soon cannot help: no permission, a full database, readers in the way. */
export const REFUSED_RETRY_MS = 1_000;

/**
 * Wait before the first use of a volume whose last owner did not release it, where the store cannot
 * refuse that owner's writes: for what its kernel may still carry.
 */
export const TAKE_OVER_WAIT_MS_DEFAULT = 3_000;

/** A thief waits for the owner's fence by its own clock, which may be this much faster. */
export const STEAL_WAIT_FACTOR = 1.1;
export const STEAL_WAIT_MARGIN_MS = 100;

/** How often whoever waits for a take-over is told how long it still takes. */
export const WAIT_REPORT_MS = 250;

/** A standby looks at the lock so often, in case that its watch is dead. */
export const STANDBY_POLL_MS = 500;

/** A standby reads so often which map pages were changed: what is left at the take-over is little. */
export const WARM_REFRESH_MS = 5_000;

/** Pages that a standby keeps, 4 KiB each. The map of a larger volume is read at the take-over. */
export const WARM_PAGES_MAX = 16_384;

/** Map pages that an owner keeps besides the volume's own map; others are read when they change. */
export const CACHED_PAGES_MAX = 4_096;

/** Pages read at a time: half a MiB, far below the 4 MiB that gRPC takes for one reply. */
export const PAGES_PER_RANGE = 128;

/**
 * Pages written by one transaction: with the comparison of the lock below etcd's --max-txn-ops
 * (128), and of half a MiB, below its --max-request-bytes (1.5 MiB). Larger commits take several.
 */
export const PAGES_PER_COMMIT = 120;

/** Keys with small values read at a time: records, states, deletions. */
export const KEYS_PER_RANGE = 500;

/** Readers of one volume that are looked at: further ones exclude a writer all the same. */
export const READERS_LOOKED_AT_MAX = 100;
