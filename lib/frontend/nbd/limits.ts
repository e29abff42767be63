/** Every limit, time-out and queue of the NBD server, with what happens at it. */

/** Connections that one server holds, in whatever phase; one more is closed as it comes. */
export const CONNECTIONS_MAX = 128;

/** From the first byte to the transmission phase, TLS included; then the connection is closed. */
export const NEGOTIATION_TIMEOUT_MS = 10_000;

/** Bytes of one option's data; a longer option ends the connection. */
export const OPTION_BYTES_MAX = 64 * 1024;

/** Option replies that nobody reads: beyond this the connection is closed. */
export const NEGOTIATION_OUTPUT_BYTES_MAX = 256 * 1024;

/** Bytes of a string, proto.md's own limit (export names, queries); a longer one is refused. */
export const STRING_BYTES_MAX = 4096;

/** Bytes of one read or write; longer ones are refused, a write ends its connection. */
export const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Requests of one connection between their header and the end of their reply's sending; at the
 * limit the socket is read no further.
 */
export const REQUESTS_IN_FLIGHT_MAX = 256;

/** Memory of one connection for payloads; while it is full the socket is read no further. */
export const ARENA_BYTES = 8 * 1024 * 1024;

/** Requests beyond this get memory of their own, which all connections of a server share. */
export const ARENA_REQUEST_BYTES_MAX = 2 * 1024 * 1024;

/** That memory; while it is used up, the connections that want some wait in turn. */
export const LARGE_REQUESTS_BYTES_MAX = 256 * 1024 * 1024;

/** Memory that large requests have used and that is kept for the next ones; the rest is unmapped. */
export const LARGE_REQUESTS_KEPT_BYTES_MAX = 32 * 1024 * 1024;

/** One read of a socket, unless it goes straight to a payload's place. */
export const RECEIVE_BYTES = 64 * 1024;

/**
 * What a unix socket takes of replies before its client reads them: the kernel grants at most twice
 * net.core.wmem_max (usually 208 KiB). A reply beyond is sent in steps, by way of Node's stream.
 */
export const SEND_BUFFER_BYTES = 2 ** 20;

/** Reads of one socket before the others get their turn. */
export const READS_PER_WAKEUP_MAX = 16;

/** A connection whose end was told together with its last bytes is found to have ended so late. */
export const END_CHECK_INTERVAL_MS = 20;

/** A payload of which this much is missing is read straight into its place. */
export const RECEIVE_IN_PLACE_BYTES_MIN = 16 * 1024;

/** Extents that one BLOCK_STATUS reply describes; the client asks again for the rest. */
export const EXTENTS_MAX = 1024;

/** Zeros written by one step where a client wants them allocated; the next step follows its end. */
export const ZERO_STEP_BYTES = 32 * 1024 * 1024;

/** The memory that such steps write, again and again. */
export const ZERO_AREA_BYTES = 1024 * 1024;

/** A connection that found the VBD's request pool empty, and has nothing in flight, looks again. */
export const POOL_RETRY_MS = 5;

/**
 * A client that stops in the middle of a request, or does not take its replies, for this long is
 * given up. (Between requests it may be silent for ever.) Long, since hosts get suspended.
 */
export const STALL_TIMEOUT_MS = 300_000;

/** How often connections are looked at for that; it may take so much longer. */
export const STALL_CHECK_INTERVAL_MS = 15_000;

/** Requests in flight at the end of a server get this long; then NBD_DRAIN_TIMEOUT. */
export const DRAIN_TIMEOUT_MS = 30_000;

/** Replies at the end of a server get this long to be taken by their clients; then it hangs up. */
export const LINGER_TIMEOUT_MS = 2_000;

/** Bytes of a TLS certificate, key or PSK file; a longer one is refused. */
export const TLS_FILE_BYTES_MAX = 1024 * 1024;

/** Failed connections reported per interval; of those beyond only the number is told. */
export const REPORTS_PER_INTERVAL_MAX = 10;
export const REPORT_INTERVAL_MS = 10_000;
