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

/** Values that an etcd store keeps in memory; beyond it those used longest ago are forgotten. */
export const ETCD_CACHE_BYTES = 32 * 2 ** 20;

/** Chunk size of a pool with an etcd store, unless told; larger ones cost more for a small write. */
export const ETCD_CHUNK_BYTES = 64 * 1024;

/** Largest chunk of an etcd store: etcd refuses requests over 1.5 MiB. Larger ones are refused. */
export const ETCD_CHUNK_BYTES_MAX = 2 ** 20;

/**
 * Largest volume of an etcd store: etcd is for small things, its whole database has 2 GiB by
 * default. A larger volume is refused at its making.
 */
export const ETCD_VOLUME_BYTES_MAX = 2 * 2 ** 30;

/** Bytes of values in one transaction; one chunk is always let in. */
export const ETCD_WRITE_BYTES_MAX = 2 ** 20;

/** Bytes asked for in one transaction: etcd refuses replies over 4 MiB. */
export const ETCD_READ_BYTES_MAX = 2 * 2 ** 20;

/** Chunks in one transaction: etcd refuses more than 128 operations, and the guard takes some. */
export const ETCD_TRANSACTION_CHUNKS_MAX = 96;

/**
 * Transactions that write, and that read, under way at once; further chunks wait and gather. Two, as
 * each costs etcd and this process more than one more chunk in it: of 4, 8 and 16 none was quicker
 * (docs/performance.md).
 */
export const ETCD_WRITES_IN_FLIGHT_MAX = 2;
export const ETCD_READS_IN_FLIGHT_MAX = 2;

/** Longest that one attempt may take; then it is tried again, until the volume is lost. */
export const ETCD_ATTEMPT_TIMEOUT_MS = 4000;

/** Between two attempts. */
export const ETCD_RETRY_MS = 100;

/** Attempts of what a person waits for (deleting a layer, counting); then it fails. */
export const ETCD_ADMIN_ATTEMPTS_MAX = 10;

/** Chunks that one step of deleting a layer deletes. */
export const ETCD_DELETE_STEP_CHUNKS = 256;
