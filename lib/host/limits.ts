/** Every limit, time-out and retry of the host's daemon, with what happens when it is reached. */

/**
 * A new disk that nobody serves by then is shown as waiting (XenbusStateInitWait) all the same:
 * libxl gives a back end 10 s to that state (LIBXL_INIT_TIMEOUT), and then its script 40 s more
 * (LIBXL_HOTPLUG_TIMEOUT), which waits for the process.
 */
export const INIT_WAIT_AFTER_MS = 5_000;

/**
 * A disk that cannot be started for a reason that may pass (its last process is just ending, a
 * cluster is not reached) is tried for so long; then the toolstack is told, before the script ends.
 */
export const FIRST_START_TIMEOUT_MS = 25_000;
export const FIRST_START_PAUSE_MS = 200;

/**
 * A process that does not run by then, or does not answer: its disk's start has failed. Ten times
 * what a busy host takes; blktapctrl's 10 s are for a toolstack that waits.
 */
export const PROCESS_ANSWER_TIMEOUT_MS = 30_000;

/** The process that is ready before its disk is known is asked so often, so that it stays. */
export const SPARE_KEEP_INTERVAL_MS = 20_000;

/** Processes that are being started at once: further disks wait for their turn. */
export const STARTS_AT_ONCE_MAX = 8;

/**
 * The pause before a process that died is started again: none for the first, then doubling between
 * these for as long as it dies soon. It is never given up while its guest is there.
 */
export const RESTART_PAUSE_MS_MIN = 100;
export const RESTART_PAUSE_MS_MAX = 10_000;

/** A process that ran for so long has not died soon: the next pause is none. */
export const RUN_STEADY_MS = 60_000;

/**
 * A process whose back end is gone gets so long to end by itself, then it is asked to by its
 * socket, then by SIGTERM, then by SIGKILL. Nothing acknowledged is lost by that.
 */
export const END_BY_ITSELF_MS = 3_000;
export const END_BY_SOCKET_MS = 30_000;
export const END_BY_SIGTERM_MS = 30_000;

/** What a dead domain's toolstack did not remove within this is removed here. */
export const DEAD_DOMAIN_GRACE_MS = 15_000;

/** A kernel's back end that appears after a disk's directory is waited for so long. */
export const KERNEL_BIND_WAIT_MS = 500;
export const KERNEL_BIND_CHECK_MS = 20;

/** Marker files follow volumes that other hosts, or other users, make and delete within this. */
export const MARKERS_REFRESH_MS = 30_000;

/** `attach --domain`: until both sides are connected; then all is undone, and the command fails. */
export const DOMAIN_ATTACH_TIMEOUT_MS = 60_000;

/** `detach` from a domain: until the guest has let go; then the command fails, and may be repeated. */
export const DOMAIN_DETACH_TIMEOUT_MS = 15_000;

/** After a guest let go, its process flushes and gives the volume back: waited for so long. */
export const PROCESS_END_TIMEOUT_MS = 15_000;
export const PROCESS_END_CHECK_MS = 20;
