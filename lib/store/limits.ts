/** Limits of the chunk stores, and what happens at each. */

/** Bytes of one extent file. Small files halve small direct writes, so these are few and large. */
export const EXTENT_BYTES = 2 ** 40;

/** Extent files kept open; beyond it the one that was idle longest is closed. */
export const EXTENT_FILES_OPEN_MAX = 128;

/** Transfers given to the I/O engine at once by one store; further ones wait in a queue. */
export const TRANSFERS_IN_FLIGHT_MAX = 1024;

/** Zeros written at once where the file system cannot punch holes. */
export const ZERO_PIECE_BYTES = 1 << 20;
