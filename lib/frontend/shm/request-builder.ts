/** Makes ring requests of what a slot table holds; their data lies in the slot's own pages. */
import { assert } from '../../assert';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  PAGE_BYTES,
  RingRequest,
  SEGMENTS_PER_REQUEST_MAX,
} from '../../ring';
import type { ShmGeometry } from './shm-geometry';
import type { SlotTable } from './slot-table';

/** Segment s lies in the slot's page s; an indirect page is the last of the slot's. */
export class RequestBuilder {
  private readonly request = new RingRequest();

  /** `data`: the whole data area. */
  constructor(
    private readonly geometry: ShmGeometry,
    private readonly data: Buffer,
  ) {}

  /** The request of a slot; the same object each time. */
  build(slot: number, table: SlotTable): RingRequest {
    const { request } = this;
    const operation = table.operation[slot];
    request.operation = operation;
    request.idLow = slot;
    request.idHigh = 0;
    request.handle = 0;
    request.sector = table.sector[slot];
    request.nrSectors = operation === BLKIF_OP_DISCARD ? table.sectorCount[slot] : 0;
    request.discardFlag = 0;
    this.addSegments(slot, table);
    if (request.segmentCount > SEGMENTS_PER_REQUEST_MAX) this.makeIndirect(slot, operation);
    return request;
  }

  private addSegments(slot: number, table: SlotTable): void {
    const { request } = this;
    const segments = table.segmentCount[slot];
    const page = slot * this.geometry.dataPagesPerSlot;
    const at = slot * table.segmentsMax;
    for (let segment = 0; segment < segments; segment++) {
      request.gref[segment] = page + segment;
      request.firstSect[segment] = table.segmentFirst[at + segment];
      request.lastSect[segment] = table.segmentLast[at + segment];
    }
    request.nrSegments = segments;
    request.segmentCount = segments;
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
