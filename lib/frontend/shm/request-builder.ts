/** Makes ring requests whose data lies in a slot's own pages of a stand-in device. */
import { assert } from '../../assert';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  PAGE_BYTES,
  RingRequest,
  SECTORS_PER_PAGE,
  SEGMENTS_PER_REQUEST_MAX,
} from '../../ring';
import type { ShmGeometry } from './shm-geometry';

/** Data begins at the first byte of the slot's pages; an indirect page is the last of them. */
export class RequestBuilder {
  /** Most sectors that one request can move. */
  readonly sectorsMax: number;
  private readonly request = new RingRequest();

  /** `data`: the whole data area. */
  constructor(
    private readonly geometry: ShmGeometry,
    private readonly data: Buffer,
  ) {
    const segments = Math.max(SEGMENTS_PER_REQUEST_MAX, geometry.indirectSegmentsMax);
    this.sectorsMax = segments * SECTORS_PER_PAGE;
  }

  /** The request of a slot; the same object each time. `operation`: BLKIF_OP_READ to _DISCARD. */
  build(slot: number, operation: number, sector: number, sectorCount: number): RingRequest {
    const { request } = this;
    request.operation = operation;
    request.idLow = slot;
    request.idHigh = 0;
    request.handle = 0;
    request.sector = sector;
    request.nrSectors = 0;
    request.discardFlag = 0;
    request.nrSegments = 0;
    request.segmentCount = 0;
    if (operation === BLKIF_OP_DISCARD) request.nrSectors = sectorCount;
    else this.addSegments(slot, sectorCount);
    if (request.segmentCount > SEGMENTS_PER_REQUEST_MAX) this.makeIndirect(slot, operation);
    return request;
  }

  private addSegments(slot: number, sectorCount: number): void {
    const { request } = this;
    assert(sectorCount >= 0 && sectorCount <= this.sectorsMax, 'a request fits its slot');
    const page = slot * this.geometry.dataPagesPerSlot;
    let left = sectorCount;
    let segment = 0;
    for (; left > 0; segment++, left -= SECTORS_PER_PAGE) {
      request.gref[segment] = page + segment;
      request.firstSect[segment] = 0;
      request.lastSect[segment] = Math.min(left, SECTORS_PER_PAGE) - 1;
    }
    request.nrSegments = segment;
    request.segmentCount = segment;
  }

  private makeIndirect(slot: number, operation: number): void {
    assert(operation === BLKIF_OP_READ || operation === BLKIF_OP_WRITE, 'only these are indirect');
    const { request, geometry } = this;
    const page = (slot + 1) * geometry.dataPagesPerSlot - 1;
    request.encodeIndirectSegments(this.data.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
    request.operation = BLKIF_OP_INDIRECT;
    request.indirectOperation = operation;
    request.indirectGrefs.fill(0);
    request.indirectGrefs[0] = page;
  }
}
