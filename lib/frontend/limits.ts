/** Every limit, time-out and queue of the front ends, with what happens at it. */

/**
 * Requests one ring may hand over before the event loop gets its turn; the rest follows in the
 * next turn, so that one busy ring cannot starve the others.
 */
export const REQUESTS_PER_WAKEUP_MAX = 256;

/**
 * Requests taken before the VBD is told to begin them. A disk that is given all that a guest has at
 * once stands idle while they are taken, and again while they are answered.
 */
export const REQUESTS_PER_KICK_MAX = 8;

/**
 * When a ring's last request is answered, its server looks awake for so long whether the next one
 * comes, before it sleeps. TAPDISK_TS_SPIN_US says how long; 0: not at all, since where processors
 * are few it gains on reads what it loses on writes (docs/performance.md).
 */
export const SPIN_US_DEFAULT = 0;
export const SPIN_US_MAX = 1000;

/** Answers without such a look after many in a row that were in vain. */
export const LOOKS_SKIPPED_MAX = 256;

/**
 * A ring that found the VBD's request pool empty, and has no request of its own whose end would
 * wake it, looks again after this time.
 */
export const POOL_RETRY_MS = 5;

/** In-flight requests get this long to end when a ring is closed; then RING_DRAIN_TIMEOUT. */
export const DRAIN_TIMEOUT_MS = 30_000;

/** REMOVE_DEVICE is repeated this long while the block device is open; then BLKTAP_BUSY. */
export const REMOVE_DEVICE_TIMEOUT_MS = 10_000;
export const REMOVE_DEVICE_RETRY_MS = 100;

/** /proc/devices and sysfs attributes are small; of anything longer the rest is ignored. */
export const KERNEL_TEXT_BYTES_MAX = 64 * 1024;

/** Pages of a stand-in's `ring` file: the largest geometry that device.json can say is below. */
export const SHM_PAGES_MAX = 1 << 18;

/** Queues of a stand-in device; more: SHM_DEVICE_INVALID. */
export const SHM_QUEUES_MAX = 16;

/** Bytes of a stand-in device's JSON files; a longer one is refused (SHM_DEVICE_INVALID). */
export const SHM_JSON_BYTES_MAX = 4096;

/** One read of a doorbell FIFO: Linux's default capacity, so one read empties it. */
export const DOORBELL_READ_BYTES = 64 * 1024;

/** Reads of a doorbell FIFO per wake-up; what is left rings again. */
export const DOORBELL_READS_PER_WAKEUP_MAX = 4;

/** A stand-in's doorbell that brought requests is read after this time, or this many of its kind. */
export const DOORBELL_UNREAD_MS = 20;
export const DOORBELLS_UNREAD_MAX = 4096;

/** How often the stand-in's front end looks whether its back end still lives. */
export const BACK_END_LIVENESS_INTERVAL_MS = 200;

/** The stand-in's front end waits this long for the other side at open; then SHM_NO_BACK_END. */
export const SHM_HANDSHAKE_TIMEOUT_MS = 10_000;

/** A stand-in's message of its own state is looked at this often while one side waits. */
export const SHM_HANDSHAKE_POLL_MS = 20;

/** Tries for a side's lock, which the other side holds for an instant when it looks. */
export const SHM_LOCK_TRIES = 5;
export const SHM_LOCK_RETRY_MS = 5;

/** Responses the stand-in's front end takes per wake-up; the rest follows in the next turn. */
export const RESPONSES_PER_WAKEUP_MAX = 1024;

/** log2 of the pages of one of a guest's rings: what blkif.h's largest ring has (blkback offers 4). */
export const XEN_RING_ORDER_MAX = 4;

/**
 * Queues offered to a guest. One process serves them all, so more would only cut its batches; each
 * gives a guest with that many processors a ring of its own to fill.
 */
export const XEN_QUEUES_MAX = 4;

/**
 * Pages that a disk's requests hold at once between a guest and the store: 4 MiB that may be pinned,
 * what Linux's driver has in flight at most on one ring unless told otherwise, and 32 MiB in all.
 * Beyond them nothing is taken from the rings until a request has ended.
 */
export const STAGING_STEADY_PAGES = 1024;
export const STAGING_PAGES_MAX = 9216;

/** Copies handed to Xen at a time, for each direction of a queue; further requests are the next batch. */
export const GRANT_COPIES_MAX = 1024;
