/** The limits of the native bindings, and what happens at each. */

/** Submission entries of an io_uring: what one io_uring_enter can hand over. More is handed over by further calls. */
export const URING_SUBMISSIONS = 512;

/**
 * Completion entries of an io_uring, and so the most operations the kernel has at a time. Those
 * beyond wait in the engine until earlier ones are done.
 */
export const URING_COMPLETIONS = 4096;

/** Memory areas that can be registered with an io_uring; those beyond are used unregistered. */
export const URING_REGISTERED_AREAS_MAX = 64;

/** Bytes of one registered area: the kernel's own limit. Larger ones are used unregistered. */
export const URING_REGISTERED_AREA_BYTES_MAX = 2 ** 30;

/**
 * Files that can be registered with an io_uring: those whose descriptors are below this. Others are
 * used by their descriptors. The kernel refuses a
 * table above the limit of open files (usually 1024).
 */
export const URING_REGISTERED_FILES_MAX = 512;

/** Operations an engine holds, queued or with the kernel. One more is a programming error. */
export const IO_OPERATIONS_MAX = 65_536;

/** Operations that an engine has room for at first; it doubles up to IO_OPERATIONS_MAX. */
export const IO_OPERATIONS_INITIAL = 1024;

/**
 * Operations that the thread engine gives to libuv at a time; the others wait in the engine. One that
 * is guarded gives libuv only as many as it has threads: the others would wait in libuv's queue, and
 * begin from there whatever has happened meanwhile.
 */
export const THREAD_OPERATIONS_MAX = 64;

/** Threads of libuv's pool where UV_THREADPOOL_SIZE does not say otherwise. */
export const LIBUV_THREADS_DEFAULT = 4;

/** Bytes of one transfer: Linux's MAX_RW_COUNT. A longer one is a programming error. */
export const TRANSFER_BYTES_MAX = 0x7ffff000;

/**
 * Longest that the readiness watch without the addon sleeps in one epoll_wait. It bounds how long
 * the end of the process can wait for that thread; events themselves end the sleep at once.
 */
export const FALLBACK_SLEEP_MS_MAX = 100;

/** Events taken by one epoll_wait of the watch without the addon; the rest come with the next. */
export const FALLBACK_EVENTS_MAX = 64;

/**
 * When entries that the kernel refused for want of memory are offered again; operations of a guarded
 * engine are given back then.
 */
export const URING_RETRY_MS = 1;

/** Locked memory that `doctor` wants: a 64 MiB data area. With less, memory stays unregistered. */
export const LOCKED_BYTES_WANTED = 64 * 2 ** 20;

/** Open files that `doctor` wants: several per layer of a long chain of snapshots. */
export const OPEN_FILES_WANTED = 1024;

/**
 * After activity an engine that watches a doorbell waits in its io_uring, asleep. It returns to
 * waiting in libuv's loop when nothing has come for this time. TAPDISK_TS_LINGER_US says how long;
 * 0: never. The wait costs no CPU, and its time-out almost none where it lies beyond the kernel's
 * next tick (4 ms at 250 Hz, 10 ms at 100 Hz): sooner ones set the processor's timer each time,
 * which on a virtual machine took back what lingering gains (docs/performance.md).
 */
export const LINGER_US_DEFAULT = 20_000;
export const LINGER_US_MAX = 10_000_000;

/** Longest that libuv's loop waits for its turn while an engine lingers and is never idle. */
export const LINGER_TURN_US = 1000;

/**
 * Entries that are handed over at once while an engine lingers. Fewer are handed over by the call
 * that waits, which is made when the event that brought them has been dealt with. A guarded engine
 * hands all over at once, since between its question and that call much may happen.
 */
export const LINGER_SUBMIT_AT_ONCE = 8;

/** Pieces of memory of one transfer. */
export const URING_PIECES_MAX = 64;

/**
 * Pieces of all transfers that the kernel has not taken yet. Where they would not fit, the transfer
 * is refused (`takesPieces`) and its pieces are transferred one by one.
 */
export const URING_VECTORS = 1024;

/** Files that an io_uring watches; one more is a programming error. */
export const URING_WATCHES_MAX = 1024;

/** Event channels bound by one disk, a queue each; one more is a programming error. */
export const EVENT_PORTS_MAX = 64;

/** Where the kernel has no pidfd, a process's end is noticed after at most this. */
export const PROCESS_CHECK_INTERVAL_MS = 500;
