/** Records to bytes and back: the inside of one block of a trace (docs/formats-trace.md). */
import { crc32 } from 'node:zlib';
import { assert } from '../assert';
import { SECTOR_BYTES } from '../sector';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_OKAY,
} from '../vbd/request';
import { BLOCK_HEADER_BYTES, corrupt, encodeBlockHeader, type BlockHeader } from './format';
import { BLOCK_RECORDS_MAX, RECORD_PAYLOAD_BYTES_MAX, SEGMENTS_MAX } from './limits';
import { SHAPE_LIST, SHAPE_NONE, SHAPE_PACKED, TraceBatch } from './trace-batch';
import {
  PAGE_SECTORS,
  PAYLOAD_BYTES,
  PAYLOAD_HASH,
  packedSegments,
  type TraceRecord,
} from './trace-record';
import { VARINT_BYTES_MAX, VarintCursor, writeSignedVarint, writeVarint } from './varint';

/** On the wire, a record's operation is an index into this. */
const OPERATIONS = [
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_BARRIER,
  REQUEST_FLUSH,
  REQUEST_DISCARD,
  REQUEST_WRITE_ZEROES,
] as const;

const WIRE_SHAPE_NONE = 0;
const WIRE_SHAPE_PACKED = 1;
const WIRE_SHAPE_PACKED_FROM = 2;
const WIRE_SHAPE_LIST = 3;

const HEAD_RING = 0x40;
const HEAD_STATUS = 0x80;
const FLAGS_PAYLOAD = 0x03;
const FLAGS_FORCE_UNIT_ACCESS = 0x04;

/** Longest record without its payload: two head bytes, seven numbers, the list, the hash. */
const RECORD_HEAD_BYTES_MAX = 2 + 7 * VARINT_BYTES_MAX + SEGMENTS_MAX + 4;

/** Encodes records into one preallocated block; allocates nothing. */
export class BlockEncoder {
  records = 0;
  /** The sector after the last one that a successful record of this block touches. */
  sectorsEnd = 0;
  private at = BLOCK_HEADER_BYTES;
  private timeUs = 0;
  private sector = 0;
  private ringId = 0;

  constructor(readonly bytes: Buffer) {
    assert(
      bytes.length >= BLOCK_HEADER_BYTES + RECORD_HEAD_BYTES_MAX,
      'a block holds at least one record',
    );
  }

  reset(): void {
    this.records = 0;
    this.sectorsEnd = 0;
    this.at = BLOCK_HEADER_BYTES;
    this.timeUs = 0;
    this.sector = 0;
    this.ringId = 0;
  }

  /** Appends a record; false where the block has no room for it (then nothing has changed). */
  append(record: TraceRecord): boolean {
    const payloadBytes =
      record.payloadKind === PAYLOAD_BYTES ? record.sectorCount * SECTOR_BYTES : 0;
    if (
      this.records >= BLOCK_RECORDS_MAX ||
      this.at + RECORD_HEAD_BYTES_MAX + payloadBytes > this.bytes.length
    ) {
      return false;
    }
    const bytes = this.bytes;
    const headAt = this.at;
    const operation = OPERATIONS.indexOf(record.operation);
    assert(operation >= 0, 'a trace record has a known operation');
    assert(
      record.timeUs >= 0 && record.sector >= 0 && record.segmentCount <= SEGMENTS_MAX,
      'a trace record is within its limits',
    );
    let head = operation;
    let at = headAt + 2;
    if (record.status !== STATUS_OKAY) {
      head |= HEAD_STATUS;
      at = writeSignedVarint(bytes, at, record.status);
    }
    at = writeSignedVarint(bytes, at, record.timeUs - this.timeUs);
    at = writeVarint(bytes, at, record.latencyUs);
    if (record.ringId !== this.ringId) {
      head |= HEAD_RING;
      at = writeVarint(bytes, at, record.ringId);
    }
    at = writeSignedVarint(bytes, at, record.sector - this.sector);
    const shape = shapeOf(record);
    at = writeShape(bytes, at, record, shape);
    at = writePayload(bytes, at, record);
    bytes[headAt] = head | (shape << 4);
    bytes[headAt + 1] = record.payloadKind | (record.forceUnitAccess ? FLAGS_FORCE_UNIT_ACCESS : 0);

    this.at = at;
    this.records++;
    this.timeUs = record.timeUs;
    this.ringId = record.ringId;
    this.sector = record.sector + record.sectorCount;
    if (this.sector > this.sectorsEnd && countsForSize(record.status, record.sectorCount)) {
      this.sectorsEnd = this.sector;
    }
    return true;
  }

  /** Completes the block; its bytes, header included, are valid until the next reset. */
  finish(firstRecord: number): Buffer {
    encodeBlockHeader(this.bytes, {
      lengthBytes: this.at - BLOCK_HEADER_BYTES,
      records: this.records,
      crc: crc32(this.bytes.subarray(BLOCK_HEADER_BYTES, this.at)),
      firstRecord,
    });
    return this.bytes.subarray(0, this.at);
  }
}

/** Only what the recorded disk served tells how large a disk must be. */
export function countsForSize(status: number, sectorCount: number): boolean {
  return status === STATUS_OKAY && sectorCount > 0;
}

function shapeOf(record: TraceRecord): number {
  const segments = record.segmentCount;
  if (segments === 0) return WIRE_SHAPE_NONE;
  const first = record.segmentFirst[0];
  if (segments !== packedSegments(first, record.sectorCount)) return WIRE_SHAPE_LIST;
  const end = (first + record.sectorCount - 1) % PAGE_SECTORS;
  for (let s = 0; s < segments; s++) {
    const isPacked =
      record.segmentFirst[s] === (s === 0 ? first : 0) &&
      record.segmentLast[s] === (s === segments - 1 ? end : PAGE_SECTORS - 1);
    if (!isPacked) return WIRE_SHAPE_LIST;
  }
  return first === 0 ? WIRE_SHAPE_PACKED : WIRE_SHAPE_PACKED_FROM;
}

function writeShape(bytes: Buffer, at: number, record: TraceRecord, shape: number): number {
  if (shape !== WIRE_SHAPE_LIST) {
    if (shape === WIRE_SHAPE_PACKED_FROM) bytes[at++] = record.segmentFirst[0];
    return writeVarint(bytes, at, record.sectorCount);
  }
  at = writeVarint(bytes, at, record.segmentCount);
  for (let s = 0; s < record.segmentCount; s++) {
    bytes[at++] = (record.segmentFirst[s] << 3) | record.segmentLast[s];
  }
  return at;
}

function writePayload(bytes: Buffer, at: number, record: TraceRecord): number {
  if (record.payloadKind === PAYLOAD_HASH) return bytes.writeUInt32LE(record.payloadHash, at);
  if (record.payloadKind !== PAYLOAD_BYTES) return at;
  const lengthBytes = record.sectorCount * SECTOR_BYTES;
  assert(
    lengthBytes <= RECORD_PAYLOAD_BYTES_MAX && record.payload.length === lengthBytes,
    "a recorded payload is as long as the request's sectors",
  );
  bytes.set(record.payload, at);
  return at + lengthBytes;
}

/**
 * Decodes a block's records, which the batch then points into.
 * @param offset where in the file the records begin, for the refusal.
 * @throws TapdiskError TRACE_CORRUPT
 */
export function decodeBlock(bytes: Buffer, header: BlockHeader, offset: number): TraceBatch {
  assert(bytes.length === header.lengthBytes, 'a block is decoded whole');
  if (crc32(bytes) !== header.crc) {
    throw corrupt(
      offset,
      `the checksum of the block's ${header.records} records, ${header.lengthBytes} bytes from here, does not match`,
    );
  }
  const batch = new TraceBatch(header.records, header.firstRecord, bytes);
  const cursor = new VarintCursor(bytes, bytes.length);
  for (let i = 0; i < header.records; i++) {
    const recordAt = cursor.at;
    const fault = decodeRecord(batch, i, cursor);
    if (fault !== null || cursor.failed) {
      throw corrupt(
        offset + recordAt,
        `record ${header.firstRecord + i} cannot be decoded: ${fault ?? 'a number in it is cut off'}`,
      );
    }
  }
  batch.count = header.records;
  if (cursor.at !== bytes.length) {
    throw corrupt(offset + cursor.at, 'the block goes on after its last record');
  }
  return batch;
}

/** Returns what is wrong, or null. */
function decodeRecord(batch: TraceBatch, i: number, cursor: VarintCursor): string | null {
  const head = cursor.byte();
  const flags = cursor.byte();
  const operation = OPERATIONS[head & 0x0f];
  if (operation === undefined) return `unknown operation ${head & 0x0f}`;
  if ((flags & ~(FLAGS_PAYLOAD | FLAGS_FORCE_UNIT_ACCESS)) !== 0) return 'unknown flags';
  batch.operation[i] = operation;
  batch.forceUnitAccess[i] = flags & FLAGS_FORCE_UNIT_ACCESS ? 1 : 0;

  const status = head & HEAD_STATUS ? cursor.signed() : STATUS_OKAY;
  if (status < -0x8000 || status > 0x7fff) return `status ${status}`;
  batch.status[i] = status;
  batch.timeUs[i] = cursor.signed() + (i === 0 ? 0 : batch.timeUs[i - 1]);
  batch.latencyUs[i] = cursor.unsigned();
  batch.ringId[i] = head & HEAD_RING ? cursor.unsigned() : i === 0 ? 0 : batch.ringId[i - 1];
  const previousEnd = i === 0 ? 0 : batch.sector[i - 1] + batch.sectorCount[i - 1];
  batch.sector[i] = cursor.signed() + previousEnd;
  const fault = decodeShape(batch, i, cursor, (head >> 4) & 3);
  if (fault !== null) return fault;
  if (batch.timeUs[i] < 0 || !Number.isSafeInteger(batch.timeUs[i])) return 'an impossible time';
  if (batch.sector[i] < 0 || !Number.isSafeInteger(batch.sector[i] + batch.sectorCount[i])) {
    return 'an impossible sector';
  }
  return decodePayload(batch, i, cursor, flags & FLAGS_PAYLOAD);
}

function decodeShape(
  batch: TraceBatch,
  i: number,
  cursor: VarintCursor,
  shape: number,
): string | null {
  if (shape === WIRE_SHAPE_LIST) {
    const segments = cursor.unsigned();
    if (segments === 0 || segments > SEGMENTS_MAX) return `${segments} segments`;
    batch.shape[i] = SHAPE_LIST;
    batch.shapeOffset[i] = cursor.at;
    batch.segmentCount[i] = segments;
    let sectors = 0;
    for (let s = 0; s < segments; s++) {
      const segment = cursor.byte();
      const first = segment >> 3;
      const last = segment & 7;
      if (first > last) return `segment ${s} ends before it begins`;
      sectors += last - first + 1;
    }
    batch.sectorCount[i] = sectors;
    return null;
  }
  const first = shape === WIRE_SHAPE_PACKED_FROM ? cursor.byte() : 0;
  if (first >= PAGE_SECTORS) return `first sector ${first} of a page`;
  const sectorCount = cursor.unsigned();
  batch.sectorCount[i] = sectorCount;
  batch.shape[i] = shape === WIRE_SHAPE_NONE ? SHAPE_NONE : SHAPE_PACKED;
  if (shape === WIRE_SHAPE_NONE) return null;
  const segments = packedSegments(first, sectorCount);
  if (segments === 0 || segments > SEGMENTS_MAX) return `${segments} segments`;
  batch.shapeFirst[i] = first;
  batch.segmentCount[i] = segments;
  return null;
}

function decodePayload(
  batch: TraceBatch,
  i: number,
  cursor: VarintCursor,
  kind: number,
): string | null {
  batch.payloadKind[i] = kind;
  if (kind === PAYLOAD_HASH) {
    const b0 = cursor.byte();
    const b1 = cursor.byte();
    const b2 = cursor.byte();
    batch.payloadHash[i] = (b0 | (b1 << 8) | (b2 << 16) | (cursor.byte() << 24)) >>> 0;
  } else if (kind === PAYLOAD_BYTES) {
    const lengthBytes = batch.sectorCount[i] * SECTOR_BYTES;
    batch.payloadOffset[i] = cursor.at;
    if (lengthBytes > RECORD_PAYLOAD_BYTES_MAX || cursor.at + lengthBytes > batch.bytes.length) {
      return 'its payload goes beyond the block';
    }
    cursor.at += lengthBytes;
  } else if (kind !== 0) {
    return `unknown payload kind ${kind}`;
  }
  return null;
}
