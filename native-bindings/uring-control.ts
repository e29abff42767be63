/** The 32-bit words that an engine shares with the turns of addon/linger.c, by index. */

/** Entries to hand over: the engine adds, a turn subtracts what the kernel took. */
export const TO_SUBMIT = 0;
/** What a turn's io_uring_enter returned, or minus its errno. */
export const ENTERED = 1;
/**
 * 1 while the kernel has, or is given with the next call, the poll that ends a sleep when one of
 * libuv's files is ready. A turn sleeps only then, and ends as soon as it is otherwise.
 */
export const BACKEND_ARMED = 2;
/** Set by a turn: 1 when nothing was heard for as long as the engine lingers. */
export const QUIET = 3;
/** Set by the engine: 1 where the last call brought something. */
export const HEARD = 4;
export const CONTROL_WORDS = 5;
