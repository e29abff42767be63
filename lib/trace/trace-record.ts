/** One request in a trace, as a writer takes it: flat and reused. */
import { REQUEST_READ, STATUS_OKAY, type RequestOperation } from '../vbd/request';
import { SEGMENTS_MAX } from './limits';

export const PAYLOAD_NONE = 0;
export const PAYLOAD_HASH = 1;
export const PAYLOAD_BYTES = 2;

/** Sectors of one page, which is as much as one ring segment can span. */
export const PAGE_SECTORS = 8;

/** Fields not named otherwise are as in VbdRequest. */
export class TraceRecord {
  /** Start of the request, µs after the trace's start. */
  timeUs = 0;
  latencyUs = 0;
  ringId = 0;
  operation: RequestOperation = REQUEST_READ;
  forceUnitAccess = false;
  status = STATUS_OKAY;
  sector = 0;
  sectorCount = 0;
  /** 0 where the request has no segments, or their shape is not known. */
  segmentCount = 0;
  /** First and last sector, 0 to 7, of each segment's page (blkif.h's first_sect, last_sect). */
  readonly segmentFirst = new Uint8Array(SEGMENTS_MAX);
  readonly segmentLast = new Uint8Array(SEGMENTS_MAX);
  /** PAYLOAD_* */
  payloadKind = PAYLOAD_NONE;
  /** xxHash32, seed 0, of the whole payload; valid with PAYLOAD_HASH. */
  payloadHash = 0;
  /** sectorCount × 512 bytes; valid with PAYLOAD_BYTES. */
  payload: Uint8Array = EMPTY;

  /** Sets segments that are packed from `firstSector` of the first page, and the sector count. */
  setPacked(firstSector: number, sectorCount: number): void {
    this.sectorCount = sectorCount;
    const segments = packedSegments(firstSector, sectorCount);
    if (segments > SEGMENTS_MAX) {
      this.segmentCount = 0;
      return;
    }
    this.segmentCount = segments;
    this.segmentFirst.fill(0, 0, segments);
    this.segmentLast.fill(PAGE_SECTORS - 1, 0, segments);
    if (segments === 0) return;
    this.segmentFirst[0] = firstSector;
    this.segmentLast[segments - 1] = (firstSector + sectorCount - 1) % PAGE_SECTORS;
  }
}

const EMPTY = new Uint8Array(0);

/** Number of segments of `sectorCount` sectors packed from sector `first` of a page on. */
export function packedSegments(first: number, sectorCount: number): number {
  return sectorCount === 0 ? 0 : Math.ceil((first + sectorCount) / PAGE_SECTORS);
}
