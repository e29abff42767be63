/** The limits of the etcd client, and what happens at each. */

/** Endpoints of one cluster: etcd itself advises against more than seven members. More are refused. */
export const ENDPOINTS_MAX = 9;

/** A key's bytes before what this program adds: a longer prefix is refused. */
export const PREFIX_BYTES_MAX = 255;

/** A password file's bytes; a longer one is refused, it is no password's. */
export const PASSWORD_BYTES_MAX = 1_024;

/** A certificate's or key's file; a longer one is refused. */
export const PEM_BYTES_MAX = 1024 * 1024;

/** A timer looks at the clock at least so often: it is late by no more after the machine slept. */
export const TIMER_SLICE_MS = 10_000;

/**
 * From the first packet to a member until it accepts the connection; then the call fails and the
 * next goes to another. Retried anew with each call, so that a network that is back is used at
 * once: TCP's own retries would come ever more rarely.
 */
export const CONNECT_TIMEOUT_MS_DEFAULT = 1_000;
export const CONNECT_TIMEOUT_MS_MIN = 50;
export const CONNECT_TIMEOUT_MS_MAX = 30_000;

/** A member that failed is preferred by no call for so long; where all failed, the first that did is tried. */
export const MEMBER_AVOIDED_MS = 5_000;

/** An answer to user and password, which etcd makes slow on purpose; then ETCD_TIMEOUT. */
export const AUTHENTICATE_TIMEOUT_MS = 3_000;

/** From asking for a watch until it is confirmed; then it ends with ETCD_TIMEOUT. */
export const WATCH_CREATE_TIMEOUT_MS = 2_000;

/**
 * HTTP/2 pings while calls are open, so that a watch on a dead connection ends: after both times.
 * etcd closes connections that ping more often than every 5 seconds (--grpc-keepalive-min-time).
 */
export const PING_INTERVAL_MS = 6_000;
export const PING_TIMEOUT_MS = 2_000;

/** gRPC's pause between two connections of one channel. Ours are opened anew after a failure. */
export const RECONNECT_PAUSE_MS_MIN = 100;
export const RECONNECT_PAUSE_MS_MAX = 500;

/** A reply's bytes: a range is read on in smaller pages, anything else fails with ETCD_TOO_LARGE. */
export const REPLY_BYTES_MAX = 16 * 1024 * 1024;

/** What a member tells of itself at /metrics; of more nothing is taken, and its quota is unknown. */
export const METRICS_BYTES_MAX = 4 * 1024 * 1024;

/** A page of a range: the keys of the first, and the bytes that each later one is to come near. */
export const PAGE_KEYS_FIRST = 128;
export const PAGE_KEYS_MAX = 16_384;
export const PAGE_BYTES = 2 * 1024 * 1024;

/** A range whose revision was compacted while it was read is begun anew so often; then ETCD_COMPACTED. */
export const RANGE_RESTARTS_MAX = 4;

/** Pauses between tries of a call: none before the second, then doubling between these, jittered. */
export const RETRY_PAUSE_MS_MIN = 50;
export const RETRY_PAUSE_MS_MAX = 400;

/**
 * What this process writes before it compacts. One period is kept behind, for reads and watches of
 * others that are under way, so about twice as much is in the database.
 */
export const COMPACT_AFTER_BYTES = 16 * 1024 * 1024;
export const COMPACT_AFTER_REVISIONS = 500;

/** A compaction not done after this is tried again a period later. */
export const COMPACT_TIMEOUT_MS = 5_000;
