/** Limits of the chunk stores, and what happens at each. */

/** Bytes of one extent file. Small files halve small direct writes, so these are few and large. */
export const EXTENT_BYTES = 2 ** 40;

/** Extent files kept open; beyond it the one that was idle longest is closed. */
export const EXTENT_FILES_OPEN_MAX = 128;

/** Transfers given to the I/O engine at once by one store; further ones wait in a queue. */
export const TRANSFERS_IN_FLIGHT_MAX = 1024;

/**
 * Bytes of one operation that carries several transfers which are neighbours in a file; the next
 * neighbour begins another. Larger ones would be cut by the kernel, and all end with the last.
 */
export const MERGED_BYTES_MAX = 1 << 20;

/**
 * A transfer that the kernel refuses for the moment (EAGAIN, EINTR) is tried again this often: once
 * immediately, then after INTERRUPTION_RETRY_MS each time, about a second in all. Then it fails with
 * that errno; one that carries several goes on as single ones, each of which is tried as often.
 */
export const INTERRUPTIONS_MAX = 100;
export const INTERRUPTION_RETRY_MS = 10;

/** Zeros written at once where the file system cannot punch holes. */
export const ZERO_PIECE_BYTES = 1 << 20;

/**
 * Longest that the settling or deletion of a layer waits for the right to the volume to be confirmed;
 * then it is refused (VOLUME_STALLED). Transfers wait for as long as it takes.
 */
export const FENCE_WAIT_MS = 30_000;
