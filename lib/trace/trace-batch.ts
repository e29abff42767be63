/** The requests of one block of a trace, in columns, as readers yield them. */
import { STATUS_OKAY } from '../vbd/request';
import { PAGE_SECTORS, PAYLOAD_NONE } from './trace-record';

/** Shape: the segments are not known, or there are none. */
export const SHAPE_NONE = 0;
/** Shape: packed without a gap, from sector `shapeFirst` of the first page on. */
export const SHAPE_PACKED = 1;
/** Shape: a list, one byte (first << 3 | last) a segment. */
export const SHAPE_LIST = 2;

/** Column i belongs to the request number `firstRecord + i` of the trace. */
export class TraceBatch {
  /** First column that counts: those before it were asked to be skipped. */
  start = 0;
  count = 0;
  readonly timeUs: Float64Array;
  readonly latencyUs: Float64Array;
  readonly ringId: Float64Array;
  readonly operation: Uint8Array;
  readonly forceUnitAccess: Uint8Array;
  readonly status: Int16Array;
  readonly sector: Float64Array;
  readonly sectorCount: Float64Array;
  readonly segmentCount: Uint16Array;
  readonly shape: Uint8Array;
  readonly shapeFirst: Uint8Array;
  /** Where in `bytes` a SHAPE_LIST's list begins. */
  readonly shapeOffset: Uint32Array;
  readonly payloadKind: Uint8Array;
  readonly payloadHash: Uint32Array;
  /** Where in `bytes` the payload begins; it is sectorCount × 512 bytes long. */
  readonly payloadOffset: Uint32Array;

  constructor(
    capacity: number,
    readonly firstRecord: number,
    readonly bytes: Uint8Array,
  ) {
    this.timeUs = new Float64Array(capacity);
    this.latencyUs = new Float64Array(capacity);
    this.ringId = new Float64Array(capacity);
    this.operation = new Uint8Array(capacity);
    this.forceUnitAccess = new Uint8Array(capacity);
    this.status = new Int16Array(capacity);
    this.sector = new Float64Array(capacity);
    this.sectorCount = new Float64Array(capacity);
    this.segmentCount = new Uint16Array(capacity);
    this.shape = new Uint8Array(capacity);
    this.shapeFirst = new Uint8Array(capacity);
    this.shapeOffset = new Uint32Array(capacity);
    this.payloadKind = new Uint8Array(capacity);
    this.payloadHash = new Uint32Array(capacity);
    this.payloadOffset = new Uint32Array(capacity);
  }

  /** Adds a successful request of packed segments without payload: what foreign traces tell. */
  addPlain(timeUs: number, operation: number, sector: number, sectorCount: number): void {
    const i = this.count++;
    this.timeUs[i] = timeUs;
    this.operation[i] = operation;
    this.status[i] = STATUS_OKAY;
    this.sector[i] = sector;
    this.sectorCount[i] = sectorCount;
    this.payloadKind[i] = PAYLOAD_NONE;
  }

  /** Expands request i's segments; returns their number, 0 for SHAPE_NONE. */
  readSegments(i: number, first: Uint8Array, last: Uint8Array): number {
    const segments = this.segmentCount[i];
    if (this.shape[i] === SHAPE_LIST) {
      for (let s = 0, at = this.shapeOffset[i]; s < segments; s++, at++) {
        first[s] = this.bytes[at] >> 3;
        last[s] = this.bytes[at] & 7;
      }
    } else if (segments > 0) {
      const from = this.shapeFirst[i];
      first.fill(0, 0, segments);
      last.fill(PAGE_SECTORS - 1, 0, segments);
      first[0] = from;
      last[segments - 1] = (from + this.sectorCount[i] - 1) % PAGE_SECTORS;
    }
    return segments;
  }
}
