/** The limits of volumes and of the local coordination, and what happens at each. */

/** Smallest and largest chunk; powers of two between. Others are refused at create. */
export const CHUNK_BYTES_MIN = 64 * 1024;
export const CHUNK_BYTES_MAX = 64 * 1024 * 1024;
export const CHUNK_BYTES_DEFAULT = 4 * 1024 * 1024;

/** Largest volume: every byte's offset is exact in a double. A larger one is refused at create. */
export const VOLUME_BYTES_MAX = 2 ** 53 - 512;

/** Most chunks of a volume. One with more is refused at create, with the chunk size it needs. */
export const CHUNK_COUNT_MAX = 2 ** 31;

/** Layer ids are u32 in every map. Beyond it the pool takes no further volume or layer. */
export const LAYER_MAX = 2 ** 32 - 1;

/** Bytes of a new map that get their disk blocks at once; entries beyond may meet a full disk. */
export const MAP_PREALLOCATED_BYTES_MAX = 64 * 1024 * 1024;

/** Bytes of a map read at a time. */
export const MAP_READ_BYTES = 1024 * 1024;

/** Writes of one map under way at a time; the other runs of a commit wait. */
export const MAP_WRITES_IN_FLIGHT_MAX = 4;

/** Longest wait for the pool's lock, which others hold for milliseconds; then POOL_BUSY. */
export const POOL_LOCK_TIMEOUT_MS = 10_000;

/**
 * Longest that an attach waits for a lock whose holder has not told its name: it is either about
 * to, or only looking who the owner is. Then the attach is refused without a name.
 */
export const ATTACH_LOCK_TIMEOUT_MS = 2_000;

/** Pause between two tries for a lock. */
export const LOCK_RETRY_MS = 10;

/** Pause between two tries of one that stands by, which may take days. */
export const STANDBY_RETRY_MS = 20;

/** Bytes of a lock file that hold its owner; a host name longer than fits is cut. */
export const OWNER_BYTES = 1024;
export const OWNER_HOST_LENGTH_MAX = 255;
