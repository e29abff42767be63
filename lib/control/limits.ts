/** Every limit and deadline of the control room, with what happens when it is reached. */

/** A message's bytes, header included (blktapctrl's MSG_SIZE): a longer one is refused and dropped. */
export const MESSAGE_BYTES_MAX = 4096;

/** blktapctrl's wait for each answer (MAX_TIMEOUT): after it the client reports TAPDISK_NO_ANSWER. */
export const ANSWER_TIMEOUT_MS = 10_000;

/**
 * The tapdisk side answers FAIL after this, shortly before blktapctrl stops listening: a late IMG
 * would be taken for the answer to the next message. A disk that opens later is closed again.
 */
export const HOST_TIMEOUT_MS = 9_000;

/** The rest of a message that came in part is awaited so long, then the part is dropped. */
export const PARTIAL_MESSAGE_TIMEOUT_MS = 2_000;

/** Messages taken from the FIFO and not finished: at the limit the FIFO is not read further. */
export const MESSAGES_PENDING_MAX = 256;

/** Answers nobody reads: beyond this many bytes kept in memory further answers are dropped. */
export const ANSWERS_UNREAD_BYTES_MAX = 65_536;

/**
 * A process that holds no disk and hears nothing ends after this: blktapctrl forgets a tapdisk
 * whose PARAMS failed without sending CLOSE.
 */
export const ORPHAN_TIMEOUT_MS = 60_000;

/** NEWDEV carries the minor in one byte: higher ones are refused before they are sent. */
export const MINOR_MAX = 255;

/** From spawning the provider to its exit 0: then it is killed and TAPDISK_SPAWN_FAILED reported. */
export const SPAWN_TIMEOUT_MS = 10_000;

/** Bytes of a failed provider's stderr that go into the error; the rest is dropped. */
export const SPAWN_STDERR_BYTES_MAX = 1_000;

/** Connections to one control socket: further ones are closed at once. */
export const SOCKET_CONNECTIONS_MAX = 10;

/** Bytes of one request or response line: a longer one is refused and the connection closed. */
export const SOCKET_LINE_BYTES_MAX = 1_048_576;

/** A connection that sends no whole request line for this long is closed. */
export const SOCKET_IDLE_TIMEOUT_MS = 10_000;

/** A request not finished after this is answered CONTROL_TIMEOUT; the work itself goes on. */
export const SOCKET_REQUEST_TIMEOUT_MS = 60_000;

/** A closing server lets answers being worked on go out for so long, then cuts them off. */
export const SOCKET_CLOSE_TIMEOUT_MS = 2_000;

/** The client's wait for a connection: the socket counts as unresponsive after it. */
export const SOCKET_CONNECT_TIMEOUT_MS = 2_000;

/** The client's wait for an answer, a little beyond the server's own: then CONTROL_TIMEOUT. */
export const SOCKET_ANSWER_TIMEOUT_MS = SOCKET_REQUEST_TIMEOUT_MS + 5_000;

/** `list`'s wait for each process: one that is busy or stuck is shown as not answering. */
export const SOCKET_LIST_TIMEOUT_MS = 3_000;

/** sun_path without its NUL (unix(7)): a longer runtime directory is refused. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Failures remembered for the admin who asks why; the oldest is forgotten. */
export const FAILURES_KEPT_MAX = 16;

/** A process whose start failed gets so long to end by itself, then SIGTERM, then SIGKILL. */
export const FAILED_START_END_TIMEOUT_MS = 2_000;
export const FAILED_START_CHECK_INTERVAL_MS = 20;
