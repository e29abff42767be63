/** Limits of a volume, and what happens at each. */

/** Chunk copies (copy-up) under way at once; further ones wait. Each holds one chunk in memory. */
export const COPIES_IN_FLIGHT_MAX = 4;

/** Chunks that one step of a discard takes out of the map; a larger discard takes several steps. */
export const DISCARD_STEP_CHUNKS = 256;

/** Zeros written at once where a range cannot be punched out. */
export const ZERO_WRITE_BYTES = 1 << 20;

/** Smallest discard that gives space back: the usual block of a file system. */
export const DISCARD_GRANULARITY_BYTES = 4096;

/**
 * Longest that the last flush before a close may take where others can take the volume over; then
 * the close is refused (VOLUME_STALLED) and may be tried again.
 */
export const LAST_FLUSH_WAIT_MS = 30_000;
