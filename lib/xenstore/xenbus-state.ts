/** The states by which the two sides of a Xen device tell each other where they are (xenbus.h). */

/** Also what a `state` node counts as that is not there, or that holds no state. */
export const XENBUS_UNKNOWN = 0;
export const XENBUS_INITIALISING = 1;
export const XENBUS_INIT_WAIT = 2;
export const XENBUS_INITIALISED = 3;
export const XENBUS_CONNECTED = 4;
export const XENBUS_CLOSING = 5;
export const XENBUS_CLOSED = 6;
export const XENBUS_RECONFIGURING = 7;
export const XENBUS_RECONFIGURED = 8;

/** One of XENBUS_*. */
export type XenbusState = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What a `state` node says. */
export function xenbusStateOf(text: string | undefined): XenbusState {
  return text !== undefined && /^[1-8]$/.test(text)
    ? (Number(text) as XenbusState)
    : XENBUS_UNKNOWN;
}
