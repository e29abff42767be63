/** Limits of a tapdisk process, and what happens at each. */

/**
 * A hand-over's wait for the requests in flight; at the limit the disk is resumed, and the hand-over
 * fails with RING_DRAIN_TIMEOUT.
 */
export const HAND_OVER_DRAIN_TIMEOUT_MS = 5_000;

/**
 * A hand-over's wait for each of its two flushes; at the limit the disk is resumed, and the
 * hand-over fails with HAND_OVER_TIMEOUT.
 */
export const HAND_OVER_FLUSH_TIMEOUT_MS = 10_000;

/**
 * Whoever has taken a volume over waits so long for its predecessor to let go of the ring, or of the
 * address; then the disk is `stopped`, with SHM_IN_USE or NBD_LISTEN_BUSY as the reason.
 */
export const RING_TAKE_OVER_TIMEOUT_MS = 15_000;

/** Pause between two tries for that ring or address. */
export const RING_TAKE_OVER_RETRY_MS = 5;

/**
 * A process that was given no disk so long was started ahead, and loads what any disk of this host may
 * need; one that was given its disk loads that disk's only.
 */
export const LOAD_KINDS_AFTER_MS = 2_000;
