/** Every limit and deadline of xenstore and its client, with what happens when it is reached. */

/** A message's payload (xs_wire.h XENSTORE_PAYLOAD_MAX): a longer one is refused before it is sent. */
export const PAYLOAD_BYTES_MAX = 4096;

/** An absolute and a relative path (XENSTORE_ABS_PATH_MAX, _REL_PATH_MAX): longer ones are refused. */
export const ABSOLUTE_PATH_BYTES_MAX = 3072;
export const RELATIVE_PATH_BYTES_MAX = 2048;

/** Xen's DOMID_FIRST_RESERVED less one: a path with a higher number is XEN_PATH_INVALID. */
export const DOMID_MAX = 0x7fef;

/** A virtual device's number has 32 bits: a path with a higher one is XEN_PATH_INVALID. */
export const DEVID_MAX = 2 ** 32 - 1;

/** xenstored's answer to one request: then XENSTORE_TIMEOUT, and what comes later is dropped. */
export const ANSWER_TIMEOUT_MS = 10_000;

/** From the first try to connect until it is done: then XENSTORE_UNAVAILABLE. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** Requests that wait for their answers: a further one is refused with XENSTORE_BUSY. */
export const REQUESTS_PENDING_MAX = 4096;

/** A transaction that met another's change is begun anew so often; then XENSTORE_CONFLICT. */
export const TRANSACTION_TRIES_MAX = 32;

/** The pause before the second try of a transaction; it doubles with each, up to the largest. */
export const TRANSACTION_PAUSE_MS_MIN = 1;
export const TRANSACTION_PAUSE_MS_MAX = 100;

/** A list of children that changes while its parts are read is begun anew so often; then EAGAIN. */
export const LIST_RESTARTS_MAX = 16;

/** Parts of one list of children: at most so many are asked for, 1 MiB of names; then E2BIG. */
export const LIST_PARTS_MAX = 256;

/** Header and payload together, by the kernel's device: a longer one is refused before it is sent. */
export const DEVICE_MESSAGE_BYTES_MAX = 4096;

/** Bytes that one read of the kernel's device takes; more is read by the next. */
export const DEVICE_READ_BYTES = 16_384;
