/** Limits of the trace room: what each holds back, and what happens there. */

/** Records in one block of a trace; the writer starts a new block, the reader refuses more. */
export const BLOCK_RECORDS_MAX = 4096;

/** Bytes of one block buffer of a writer that stores no payloads; a new block is started. */
export const BLOCK_BUFFER_BYTES = 256 * 1024;

/** The same for a writer that stores payloads: room for two of the largest records. */
export const BLOCK_BUFFER_PAYLOAD_BYTES = 2 * 1024 * 1024 + 64 * 1024;

/** Largest block that a reader takes into memory; a larger one is refused as corrupt. */
export const BLOCK_BYTES_MAX = 8 * 1024 * 1024;

/** Largest payload of one record (256 segments of 4 KiB); a larger one is not recorded. */
export const RECORD_PAYLOAD_BYTES_MAX = 1024 * 1024;

/** Segments of one request, as in blkif.h's indirect requests; more are recorded without shape. */
export const SEGMENTS_MAX = 256;

/** Block buffers of a recorder. When all wait for the disk, the recording stops as overloaded. */
export const RECORDER_BUFFERS = 16;

/** Bytes of write payloads held between start and end; beyond it, records carry the hash only. */
export const RECORDER_STAGING_BYTES_MAX = 64 * 1024 * 1024;

/** How long a recorder keeps records to itself: what a killed process loses of its trace. */
export const RECORDER_FLUSH_INTERVAL_MS = 1000;

/** Highest request slot that a recorder follows; requests of higher slots are not recorded. */
export const RECORDER_SLOTS_MAX = 8192;

/** Bytes in which a text trace must show its first request; beyond, it is no trace. */
export const SNIFF_BYTES = 64 * 1024;

/** Longest line of a text trace, in characters; a longer one is refused by its number. */
export const TEXT_LINE_MAX = 4096;

/** Batches that a replay reads ahead; the reader waits when it is that far ahead. */
export const READ_AHEAD_BATCHES = 4;

/** Requests in flight of one replay; a greater depth is refused. */
export const REPLAY_DEPTH_MAX = 1024;

/** Default for how long a replay waits for any answer before it calls the back end dead. */
export const REPLAY_ANSWER_TIMEOUT_MS = 30_000;

/** How often a replay looks whether its back end is still there. */
export const REPLAY_WATCH_INTERVAL_MS = 100;

/** Mismatches that a replay describes; further ones are only counted. */
export const MISMATCHES_DESCRIBED_MAX = 20;

/** Touched pages (64 sectors each) of a disk model: 2 GiB of memory. Beyond it: MODEL_FULL. */
export const MODEL_PAGES_MAX = 4 * 1024 * 1024;

/** Values that one sector may have after failures; beyond, anything is allowed there once. */
export const MODEL_ALTERNATIVES_MAX = 64;

/** Sectors that may have several values at a time; beyond, anything is allowed in one once. */
export const MODEL_SETS_MAX = 8 * 1024 * 1024;

/**
 * Acknowledged writes that no flush covers yet. Beyond it, the oldest sectors may read as anything
 * after a crash: the check grows weaker there, it never grows wrong.
 */
export const MODEL_UNFLUSHED_MAX = 1024 * 1024;

/** Bytes of the caller's notes in a model file; more are refused. */
export const MODEL_NOTES_BYTES_MAX = 64 * 1024;
