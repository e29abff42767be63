/** Encodes and decodes blkif.h's requests and responses, given the offsets of an ABI. */
import { assert } from '../assert';
import type { RingAbi, RingAbiName } from './abi';
import { SEGMENT_BYTES, SEGMENT_FIRST_SECT_OFFSET, SEGMENT_LAST_SECT_OFFSET } from './layout';
import { INDIRECT_PAGES_MAX, SEGMENTS_PER_REQUEST_MAX } from './limits';
import type { OperationNumbers } from './operations';
import { BLKIF_OP_DISCARD, BLKIF_OP_INDIRECT, OPERATION_UNKNOWN } from './operations';
import type { RingRequest } from './ring-request';
import type { RingResponse } from './ring-response';

/** Offsets in bytes; those not here are the same in every ABI. */
export interface BlkifOffsets {
  readonly entryBytes: number;
  readonly id: number;
  readonly sectorNumber: number;
  readonly segments: number;
  readonly discardNrSectors: number;
  readonly indirectSectorNumber: number;
  readonly indirectHandle: number;
  readonly indirectGrefs: number;
}

const OPERATION = 0;
const NR_SEGMENTS = 1;
const DISCARD_FLAG = 1;
const HANDLE = 2;
const INDIRECT_OP = 1;
const INDIRECT_NR_SEGMENTS = 2;

const RESPONSE_ID = 0;
const RESPONSE_OPERATION = 8;
const RESPONSE_STATUS = 10;

const OPERATION_BYTE_VALUES = 256;
const BYTE_MASK = 0xff;
const U64_BYTES = 8;
const INDIRECT_GREFS_BYTES = INDIRECT_PAGES_MAX * 4;
const TWO_TO_32 = 2 ** 32;
/** High halves above this make a u64 that is no safe integer. */
const SAFE_HIGH_MAX = 0x1fffff;

/** A RingAbi by its offsets and its numbers of the operations. */
export class BlkifCodec implements RingAbi {
  readonly entryBytes: number;
  private readonly operationOfWire = new Int8Array(OPERATION_BYTE_VALUES).fill(OPERATION_UNKNOWN);
  private readonly wireOfOperation = new Int8Array(BLKIF_OP_INDIRECT + 1).fill(-1);

  constructor(
    readonly name: RingAbiName,
    private readonly at: BlkifOffsets,
    numbers: OperationNumbers,
    /** Whether the second byte of a discard is blkif.h's flag; in blktap2 it means nothing. */
    private readonly discardFlags: boolean,
  ) {
    const { entryBytes, segments, indirectGrefs } = at;
    assert(segments + SEGMENTS_PER_REQUEST_MAX * SEGMENT_BYTES === entryBytes, 'entry size');
    assert(indirectGrefs + INDIRECT_GREFS_BYTES <= entryBytes, 'indirect request fits an entry');
    this.entryBytes = entryBytes;
    for (const [wire, operation] of numbers) {
      this.operationOfWire[wire] = operation;
      this.wireOfOperation[operation] = wire;
    }
  }

  wireOperationOf(operation: number): number {
    return operation >= 0 && operation < this.wireOfOperation.length
      ? this.wireOfOperation[operation]
      : -1;
  }

  requestBytes(firstWord: number): number {
    const operation = this.operationOfWire[firstWord & BYTE_MASK];
    if (operation === BLKIF_OP_DISCARD) return this.at.discardNrSectors + U64_BYTES;
    if (operation === BLKIF_OP_INDIRECT) return this.at.indirectGrefs + INDIRECT_GREFS_BYTES;
    return this.at.segments + plainSegments((firstWord >>> 8) & BYTE_MASK) * SEGMENT_BYTES;
  }

  decodeRequest(bytes: DataView, offset: number, out: RingRequest): void {
    const wireOperation = bytes.getUint8(offset + OPERATION);
    const operation = this.operationOfWire[wireOperation];
    out.operation = operation;
    out.wireOperation = wireOperation;
    out.responseOperation = wireOperation;
    out.idLow = bytes.getUint32(offset + this.at.id, true);
    out.idHigh = bytes.getUint32(offset + this.at.id + 4, true);
    out.sectorOverflow = false;
    out.nrSectors = 0;
    out.discardFlag = 0;
    out.indirectOperation = 0;
    out.segmentCount = 0;
    out.totalSectors = 0;
    if (operation === BLKIF_OP_DISCARD) this.decodeDiscard(bytes, offset, out);
    else if (operation === BLKIF_OP_INDIRECT) this.decodeIndirect(bytes, offset, out);
    else this.decodePlain(bytes, offset, out);
  }

  private decodePlain(bytes: DataView, offset: number, out: RingRequest): void {
    const nrSegments = bytes.getUint8(offset + NR_SEGMENTS);
    out.nrSegments = nrSegments;
    out.handle = bytes.getUint16(offset + HANDLE, true);
    out.sector = this.decodeSectors(bytes, offset + this.at.sectorNumber, out);
    const count = plainSegments(nrSegments);
    const { gref, firstSect, lastSect } = out;
    let at = offset + this.at.segments;
    for (let segment = 0; segment < count; segment++, at += SEGMENT_BYTES) {
      gref[segment] = bytes.getUint32(at, true);
      // Both bytes in one read: this loop is most of what a large request costs here.
      const sects = bytes.getUint16(at + SEGMENT_FIRST_SECT_OFFSET, true);
      firstSect[segment] = sects & BYTE_MASK;
      lastSect[segment] = sects >>> 8;
    }
    out.segmentCount = count;
  }

  private decodeDiscard(bytes: DataView, offset: number, out: RingRequest): void {
    out.nrSegments = 0;
    if (this.discardFlags) out.discardFlag = bytes.getUint8(offset + DISCARD_FLAG);
    out.handle = bytes.getUint16(offset + HANDLE, true);
    out.sector = this.decodeSectors(bytes, offset + this.at.sectorNumber, out);
    out.nrSectors = this.decodeSectors(bytes, offset + this.at.discardNrSectors, out);
  }

  private decodeIndirect(bytes: DataView, offset: number, out: RingRequest): void {
    out.indirectOperation = bytes.getUint8(offset + INDIRECT_OP);
    out.responseOperation = out.indirectOperation;
    out.nrSegments = bytes.getUint16(offset + INDIRECT_NR_SEGMENTS, true);
    out.handle = bytes.getUint16(offset + this.at.indirectHandle, true);
    out.sector = this.decodeSectors(bytes, offset + this.at.indirectSectorNumber, out);
    for (let page = 0; page < INDIRECT_PAGES_MAX; page++) {
      out.indirectGrefs[page] = bytes.getUint32(offset + this.at.indirectGrefs + page * 4, true);
    }
  }

  private decodeSectors(bytes: DataView, offset: number, out: RingRequest): number {
    const high = bytes.getUint32(offset + 4, true);
    if (high <= SAFE_HIGH_MAX) return high * TWO_TO_32 + bytes.getUint32(offset, true);
    out.sectorOverflow = true;
    return Number.MAX_SAFE_INTEGER;
  }

  encodeRequest(request: RingRequest, bytes: DataView, offset: number): void {
    const { operation } = request;
    const wireOperation =
      operation === OPERATION_UNKNOWN ? request.wireOperation : this.wireOperationOf(operation);
    assert(wireOperation >= 0, 'the operation has a number in the ABI');
    for (let at = 0; at < this.entryBytes; at += 4) bytes.setUint32(offset + at, 0, true);
    bytes.setUint8(offset + OPERATION, wireOperation);
    bytes.setUint32(offset + this.at.id, request.idLow, true);
    bytes.setUint32(offset + this.at.id + 4, request.idHigh, true);
    if (operation === BLKIF_OP_DISCARD) this.encodeDiscard(request, bytes, offset);
    else if (operation === BLKIF_OP_INDIRECT) this.encodeIndirect(request, bytes, offset);
    else this.encodePlain(request, bytes, offset);
  }

  private encodePlain(request: RingRequest, bytes: DataView, offset: number): void {
    assert(request.segmentCount <= SEGMENTS_PER_REQUEST_MAX, 'a plain request has 11 segments');
    bytes.setUint8(offset + NR_SEGMENTS, request.nrSegments);
    bytes.setUint16(offset + HANDLE, request.handle, true);
    encodeSectors(bytes, offset + this.at.sectorNumber, request.sector);
    let at = offset + this.at.segments;
    for (let segment = 0; segment < request.segmentCount; segment++, at += SEGMENT_BYTES) {
      bytes.setUint32(at, request.gref[segment], true);
      bytes.setUint8(at + SEGMENT_FIRST_SECT_OFFSET, request.firstSect[segment]);
      bytes.setUint8(at + SEGMENT_LAST_SECT_OFFSET, request.lastSect[segment]);
    }
  }

  private encodeDiscard(request: RingRequest, bytes: DataView, offset: number): void {
    if (this.discardFlags) bytes.setUint8(offset + DISCARD_FLAG, request.discardFlag);
    bytes.setUint16(offset + HANDLE, request.handle, true);
    encodeSectors(bytes, offset + this.at.sectorNumber, request.sector);
    encodeSectors(bytes, offset + this.at.discardNrSectors, request.nrSectors);
  }

  private encodeIndirect(request: RingRequest, bytes: DataView, offset: number): void {
    bytes.setUint8(offset + INDIRECT_OP, request.indirectOperation);
    bytes.setUint16(offset + INDIRECT_NR_SEGMENTS, request.nrSegments, true);
    bytes.setUint16(offset + this.at.indirectHandle, request.handle, true);
    encodeSectors(bytes, offset + this.at.indirectSectorNumber, request.sector);
    for (let page = 0; page < INDIRECT_PAGES_MAX; page++) {
      bytes.setUint32(offset + this.at.indirectGrefs + page * 4, request.indirectGrefs[page], true);
    }
  }

  encodeResponse(
    bytes: DataView,
    offset: number,
    idLow: number,
    idHigh: number,
    wireOperation: number,
    status: number,
  ): void {
    bytes.setUint32(offset + RESPONSE_ID, idLow, true);
    bytes.setUint32(offset + RESPONSE_ID + 4, idHigh, true);
    bytes.setUint16(offset + RESPONSE_OPERATION, wireOperation, true);
    bytes.setInt16(offset + RESPONSE_STATUS, status, true);
  }

  decodeResponse(bytes: DataView, offset: number, out: RingResponse): void {
    out.idLow = bytes.getUint32(offset + RESPONSE_ID, true);
    out.idHigh = bytes.getUint32(offset + RESPONSE_ID + 4, true);
    out.wireOperation = bytes.getUint8(offset + RESPONSE_OPERATION);
    out.status = bytes.getInt16(offset + RESPONSE_STATUS, true);
  }
}

/** The segments of a plain request that can be there at all, whatever it says. */
function plainSegments(nrSegments: number): number {
  return nrSegments < SEGMENTS_PER_REQUEST_MAX ? nrSegments : SEGMENTS_PER_REQUEST_MAX;
}

function encodeSectors(bytes: DataView, offset: number, sectors: number): void {
  assert(Number.isSafeInteger(sectors) && sectors >= 0, 'sectors are a safe integer');
  bytes.setUint32(offset, sectors % TWO_TO_32, true);
  bytes.setUint32(offset + 4, Math.floor(sectors / TWO_TO_32), true);
}
