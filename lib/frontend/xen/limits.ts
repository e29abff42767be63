/** Every limit and time-out of a Xen front end, with what happens at it. */

/** Event channels that a guest has (2^17, Xen's FIFO ABI): a higher port is XEN_FRONT_END_INVALID. */
export const EVENT_CHANNEL_MAX = 131_071;

/** Characters of a guest's value that a sentence shows; the rest is left out. */
export const SHOWN_VALUE_CHARACTERS_MAX = 40;

/**
 * Between two looks at xenstore, so that a guest that rewrites its state all the time costs little:
 * what changes meanwhile is seen by the next look.
 */
export const LOOK_PAUSE_MS = 5;

/** After a look that failed (xenstored did not answer, refused, met others' changes): the next one. */
export const LOOK_RETRY_MS = 500;

/** After the connection to xenstored was lost, or could not be made: the next try, without end. */
export const XENSTORE_RETRY_MS = 500;

/**
 * A front end that was told of a broken ring has this long to close its side; then this side is
 * Closed without it.
 */
export const CLOSING_TIMEOUT_MS = 10_000;

/**
 * A front end whose ring was refused or broke may connect again after this time, which doubles each
 * time up to the largest: a guest that does nothing else costs little.
 */
export const RECONNECT_PAUSE_MS_MIN = 500;
export const RECONNECT_PAUSE_MS_MAX = 32_000;

/** A ring that a process which just ended, or hands the disk over, still has: tried again so often, */
export const RING_OPEN_RETRY_MS = 20;
/** … and for so long; then the disk is stopped with the last try's reason. */
export const RING_OPEN_TIMEOUT_MS = 15_000;

/** A disk that was to be closed and could not be (requests that do not end) is asked again after this. */
export const LEAVE_RETRY_MS = 5_000;

/**
 * Pages that one queue of a guest keeps mapped, where both sides agreed on persistent grants; what
 * is named beyond them goes by grant copy. They are the guest's memory and not ours; what they cost
 * here is an area of our address space each, at worst, of the 65,530 that Linux gives a process.
 * As many as xen-blkback's: all that Linux' driver has on a ring of one page, 32 requests of 32
 * segments and their indirect page. It takes grants that stayed mapped first when it needs one, so
 * on larger rings, too, these are what most requests use, and none is ever given up for another.
 */
export const PERSISTENT_GRANTS_MAX = 1056;

/**
 * Maps of new persistent grants that may be refused on one queue; then none is tried any more until
 * the front end connects anew, so that a guest that grants nothing of what it names does not have
 * each of its requests cost a system call that fails.
 */
export const PERSISTENT_MAP_FAILURES_MAX = 16;
