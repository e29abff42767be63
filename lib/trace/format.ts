/** The trace file's fixed parts: header, block header and end marker (docs/formats-trace.md). */
import { crc32 } from 'node:zlib';
import { TapdiskError } from '../errors';
import { BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX } from './limits';

export const TRACE_MAGIC = Buffer.from('TAPTRACE', 'latin1');
export const TRACE_VERSION = 1;

export const TRACE_HEADER_BYTES = 64;
export const BLOCK_HEADER_BYTES = 32;
export const END_MARKER_BYTES = 32;

/** "BLK1" and "END1" as little-endian words. */
export const BLOCK_MAGIC = 0x314b4c42;
export const END_MAGIC = 0x31444e45;

/** What a trace keeps of the data: nothing, a hash of each request's payload, or the payload. */
export type PayloadMode = 'none' | 'hash' | 'full';
const PAYLOAD_MODES: readonly PayloadMode[] = ['none', 'hash', 'full'];

/** Why a recording ended, as the end marker has it. */
export type EndReason = 'stopped' | 'overloaded' | 'write-error';
const END_REASONS: readonly EndReason[] = ['stopped', 'overloaded', 'write-error'];

export interface TraceHeader {
  readonly payload: PayloadMode;
  /** Size of the recorded disk in 512-byte sectors; 0 where it is not known. */
  readonly sectors: number;
  /** Wall-clock time of the record time 0, in ms since 1970. */
  readonly startedAtMs: number;
}

export interface BlockHeader {
  readonly lengthBytes: number;
  readonly records: number;
  readonly crc: number;
  readonly firstRecord: number;
}

export interface EndMarker {
  readonly reason: EndReason;
  readonly records: number;
  /** The sector after the last one that any successful record touches. */
  readonly sectorsEnd: number;
}

/** The refusal of a damaged trace, by the byte offset at which it breaks. */
export function corrupt(offset: number, what: string): TapdiskError {
  return new TapdiskError('TRACE_CORRUPT', `trace is corrupt at byte offset ${offset}: ${what}`);
}

/** The refusal of a trace that ends before its end marker. */
export function truncated(offset: number, what: string): TapdiskError {
  return new TapdiskError(
    'TRACE_TRUNCATED',
    `trace is truncated at byte offset ${offset}: ${what}; the recording was cut off or the file was not copied whole`,
  );
}

export function encodeTraceHeader(header: TraceHeader): Buffer {
  const bytes = Buffer.alloc(TRACE_HEADER_BYTES);
  TRACE_MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(TRACE_VERSION, 8);
  bytes.writeUInt32LE(TRACE_HEADER_BYTES, 12);
  bytes.writeUInt32LE(PAYLOAD_MODES.indexOf(header.payload), 16);
  bytes.writeBigUInt64LE(BigInt(header.sectors), 24);
  bytes.writeBigUInt64LE(BigInt(header.startedAtMs), 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/**
 * @param bytes what the file begins with, at most TRACE_HEADER_BYTES.
 * @throws TapdiskError TRACE_NOT_A_TRACE, TRACE_VERSION_UNKNOWN, TRACE_TRUNCATED, TRACE_CORRUPT
 */
export function decodeTraceHeader(bytes: Buffer): TraceHeader {
  const magicBytes = Math.min(bytes.length, TRACE_MAGIC.length);
  if (
    bytes.length === 0 ||
    !bytes.subarray(0, magicBytes).equals(TRACE_MAGIC.subarray(0, magicBytes))
  ) {
    throw new TapdiskError(
      'TRACE_NOT_A_TRACE',
      'not a trace (offset 0): the file begins neither as a tapdisk-ts trace nor as a blkreplay load',
    );
  }
  if (bytes.length < TRACE_HEADER_BYTES) {
    throw truncated(bytes.length, 'the file header is cut off');
  }
  const version = bytes.readUInt32LE(8);
  if (version !== TRACE_VERSION) {
    throw new TapdiskError(
      'TRACE_VERSION_UNKNOWN',
      `trace has format version ${version} (offset 8), and this program knows version ${TRACE_VERSION} only: use a matching tapdisk-ts`,
    );
  }
  if (bytes.readUInt32LE(60) !== crc32(bytes.subarray(0, 60))) {
    throw corrupt(0, "the file header's checksum does not match");
  }
  const payload = PAYLOAD_MODES[bytes.readUInt32LE(16)];
  if (
    bytes.readUInt32LE(12) !== TRACE_HEADER_BYTES ||
    payload === undefined ||
    bytes.readUInt32LE(20) !== 0
  ) {
    throw corrupt(12, 'the file header has fields that version 1 does not know');
  }
  return {
    payload,
    sectors: readSafe(bytes, 24, 24),
    startedAtMs: readSafe(bytes, 32, 32),
  };
}

/** Writes the block header in front of a block's records. */
export function encodeBlockHeader(bytes: Buffer, header: BlockHeader): void {
  bytes.writeUInt32LE(BLOCK_MAGIC, 0);
  bytes.writeUInt32LE(header.lengthBytes, 4);
  bytes.writeUInt32LE(header.records, 8);
  bytes.writeUInt32LE(header.crc, 12);
  bytes.writeBigUInt64LE(BigInt(header.firstRecord), 16);
  bytes.writeUInt32LE(0, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
}

/** @param offset the header's own offset in the file, for the refusal. */
export function decodeBlockHeader(bytes: Buffer, offset: number): BlockHeader {
  checkFixedPart(bytes, offset, 'a block header');
  const header = {
    lengthBytes: bytes.readUInt32LE(4),
    records: bytes.readUInt32LE(8),
    crc: bytes.readUInt32LE(12),
    firstRecord: readSafe(bytes, 16, offset + 16),
  };
  if (header.lengthBytes > BLOCK_BYTES_MAX) {
    throw corrupt(offset + 4, `a block of ${header.lengthBytes} bytes is longer than any can be`);
  }
  if (header.records === 0 || header.records > BLOCK_RECORDS_MAX) {
    throw corrupt(offset + 8, `a block of ${header.records} records cannot be`);
  }
  return header;
}

export function encodeEndMarker(marker: EndMarker): Buffer {
  const bytes = Buffer.alloc(END_MARKER_BYTES);
  bytes.writeUInt32LE(END_MAGIC, 0);
  bytes.writeUInt32LE(END_REASONS.indexOf(marker.reason), 4);
  bytes.writeBigUInt64LE(BigInt(marker.records), 8);
  bytes.writeBigUInt64LE(BigInt(marker.sectorsEnd), 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

/** @param offset the marker's own offset in the file, for the refusal. */
export function decodeEndMarker(bytes: Buffer, offset: number): EndMarker {
  checkFixedPart(bytes, offset, 'the end marker');
  const reason = END_REASONS[bytes.readUInt32LE(4)];
  if (reason === undefined) throw corrupt(offset + 4, 'the end marker gives an unknown reason');
  return {
    reason,
    records: readSafe(bytes, 8, offset + 8),
    sectorsEnd: readSafe(bytes, 16, offset + 16),
  };
}

function checkFixedPart(bytes: Buffer, offset: number, name: string): void {
  if (bytes.readUInt32LE(28) !== crc32(bytes.subarray(0, 28))) {
    throw corrupt(offset, `the checksum of ${name} does not match`);
  }
  if (bytes.readUInt32LE(24) !== 0) {
    throw corrupt(offset + 24, `${name} has fields that version 1 does not know`);
  }
}

function readSafe(bytes: Buffer, at: number, offset: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw corrupt(offset, 'a number is beyond 2^53');
  return value;
}
