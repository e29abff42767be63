/** Limits of a VBD, and what happens at each. */

/** Requests a VBD holds at once; at the limit `acquire` says null and the ring is left to wait. */
export const REQUESTS_MAX = 1024;

/** Transfers a VBD has under way at once; a request that needs more than are free waits its turn. */
export const TRANSFERS_MAX = 8192;

/** Longest wait for the requests in flight at a pause or a close; then it is refused. */
export const DRAIN_TIMEOUT_MS = 30_000;

/** Latency classes: class n counts latencies below 2^n µs; the last takes all above. */
export const LATENCY_CLASSES = 32;

/**
 * How often the right to a volume is looked at while no request asks for it: so late may a stall be
 * told in the log that no request meets. At most so late do requests go on where nobody told of it.
 */
export const FENCE_LOOK_MS = 250;
