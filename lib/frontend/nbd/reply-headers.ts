/** Writes the headers of replies in the transmission phase. */
import {
  BASE_ALLOCATION_ID,
  HALF,
  REPLY_FLAG_DONE,
  REPLY_TYPE_BLOCK_STATUS,
  REPLY_TYPE_ERROR,
  REPLY_TYPE_OFFSET_DATA,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
} from './protocol';

const OFFSET_BYTES = 8;
const CONTEXT_ID_BYTES = 4;
/** Error number, and the length of a message, which is 0. */
const ERROR_BYTES = 6;

/** Each writes at `at` and returns its length in bytes; the cookie is the client's, in two halves. */

export function writeSimpleReply(
  to: Buffer,
  at: number,
  error: number,
  cookieHigh: number,
  cookieLow: number,
): number {
  to.writeUInt32BE(SIMPLE_REPLY_MAGIC, at);
  to.writeUInt32BE(error, at + 4);
  to.writeUInt32BE(cookieHigh, at + 8);
  to.writeUInt32BE(cookieLow, at + 12);
  return SIMPLE_REPLY_BYTES;
}

/** The whole of a read's data as one chunk, `dataLength` bytes of which follow. */
export function writeDataChunk(
  to: Buffer,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
  dataLength: number,
): number {
  const length = OFFSET_BYTES + dataLength;
  writeChunk(to, at, REPLY_TYPE_OFFSET_DATA, cookieHigh, cookieLow, length);
  to.writeUInt32BE(Math.floor(offset / HALF), at + STRUCTURED_REPLY_BYTES);
  to.writeUInt32BE(offset % HALF, at + STRUCTURED_REPLY_BYTES + 4);
  return STRUCTURED_REPLY_BYTES + OFFSET_BYTES;
}

/** The extents of base:allocation, `extentsLength` bytes of which follow. */
export function writeBlockStatusChunk(
  to: Buffer,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  extentsLength: number,
): number {
  const length = CONTEXT_ID_BYTES + extentsLength;
  writeChunk(to, at, REPLY_TYPE_BLOCK_STATUS, cookieHigh, cookieLow, length);
  to.writeUInt32BE(BASE_ALLOCATION_ID, at + STRUCTURED_REPLY_BYTES);
  return STRUCTURED_REPLY_BYTES + CONTEXT_ID_BYTES;
}

export function writeErrorChunk(
  to: Buffer,
  at: number,
  error: number,
  cookieHigh: number,
  cookieLow: number,
): number {
  writeChunk(to, at, REPLY_TYPE_ERROR, cookieHigh, cookieLow, ERROR_BYTES);
  to.writeUInt32BE(error, at + STRUCTURED_REPLY_BYTES);
  to.writeUInt16BE(0, at + STRUCTURED_REPLY_BYTES + 4);
  return STRUCTURED_REPLY_BYTES + ERROR_BYTES;
}

/** A chunk that is the only one of its reply. */
function writeChunk(
  to: Buffer,
  at: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  payloadLength: number,
): void {
  to.writeUInt32BE(STRUCTURED_REPLY_MAGIC, at);
  to.writeUInt16BE(REPLY_FLAG_DONE, at + 4);
  to.writeUInt16BE(type, at + 6);
  to.writeUInt32BE(cookieHigh, at + 8);
  to.writeUInt32BE(cookieLow, at + 12);
  to.writeUInt32BE(payloadLength, at + 16);
}
