/** Judges a decoded request before anything acts on it. The guest that wrote it is hostile. */
import { assert } from '../assert';
import { SECTORS_PER_PAGE } from './layout';
import { INDIRECT_SEGMENTS_MAX, SEGMENTS_PER_REQUEST_MAX } from './limits';
import type { BlkifStatus } from './operations';
import {
  BLKIF_DISCARD_SECURE,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from './operations';
import type { RingRequest } from './ring-request';

/** What the back end offered the front end. */
export interface RequestLimits {
  /** The disk's size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly?: boolean;
  /** feature-max-indirect-segments: 0 (not offered) to 256. */
  readonly indirectSegmentsMax: number;
  readonly discard: boolean;
  /** discard-secure; a discard that asks for what was not offered is refused, not weakened. */
  readonly discardSecure?: boolean;
  readonly flush: boolean;
  readonly barrier: boolean;
}

/**
 * Judges all that a request says without its segments; of an indirect one this comes before its
 * pages are mapped. Returns BLKIF_RSP_OKAY, or the status to answer it with.
 */
export function checkHeader(request: RingRequest, limits: RequestLimits): BlkifStatus {
  const { operation, nrSegments } = request;
  switch (operation) {
    case BLKIF_OP_READ:
      return checkCount(nrSegments, 1, SEGMENTS_PER_REQUEST_MAX);
    case BLKIF_OP_WRITE:
      return limits.readOnly
        ? BLKIF_RSP_ERROR
        : checkCount(nrSegments, 1, SEGMENTS_PER_REQUEST_MAX);
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_FLUSH_DISKCACHE:
      if (!(operation === BLKIF_OP_FLUSH_DISKCACHE ? limits.flush : limits.barrier)) {
        return BLKIF_RSP_EOPNOTSUPP;
      }
      if (nrSegments > 0 && limits.readOnly) return BLKIF_RSP_ERROR;
      return checkCount(nrSegments, 0, SEGMENTS_PER_REQUEST_MAX);
    case BLKIF_OP_DISCARD:
      if (!limits.discard) return BLKIF_RSP_EOPNOTSUPP;
      if ((request.discardFlag & BLKIF_DISCARD_SECURE) !== 0 && !limits.discardSecure) {
        return BLKIF_RSP_EOPNOTSUPP;
      }
      return limits.readOnly ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY;
    case BLKIF_OP_INDIRECT:
      assert(limits.indirectSegmentsMax <= INDIRECT_SEGMENTS_MAX, 'no more offered than we hold');
      if (limits.indirectSegmentsMax === 0) return BLKIF_RSP_EOPNOTSUPP;
      if (request.indirectOperation !== BLKIF_OP_READ) {
        if (request.indirectOperation !== BLKIF_OP_WRITE) return BLKIF_RSP_ERROR;
        if (limits.readOnly) return BLKIF_RSP_ERROR;
      }
      return checkCount(nrSegments, 1, limits.indirectSegmentsMax);
    default:
      return BLKIF_RSP_EOPNOTSUPP;
  }
}

/**
 * Judges a whole request; an indirect one whose header is fine must have its segments decoded.
 * Returns BLKIF_RSP_OKAY, with `request.totalSectors` set (0 for a flush or barrier of nothing,
 * whose sector number means nothing), or the status to answer it with. Never half-accepts.
 */
export function checkRequest(request: RingRequest, limits: RequestLimits): BlkifStatus {
  const status = checkHeader(request, limits);
  if (status !== BLKIF_RSP_OKAY) return status;
  if (request.operation === BLKIF_OP_DISCARD) {
    // A discard of nothing is nothing that a front end sends; blkback's block layer refuses it too.
    if (request.nrSectors === 0) return BLKIF_RSP_ERROR;
    return checkExtent(request, request.nrSectors, limits);
  }
  assert(request.segmentCount === request.nrSegments, 'all segments are decoded');
  if (request.segmentCount === 0) {
    request.totalSectors = 0;
    return BLKIF_RSP_OKAY;
  }
  const sectors = sectorsOfSegments(request);
  return sectors === 0 ? BLKIF_RSP_ERROR : checkExtent(request, sectors, limits);
}

function checkCount(count: number, least: number, most: number): BlkifStatus {
  return count >= least && count <= most ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
}

/** The sum of the segments' sectors, or 0 where one of them is not inside its page. */
function sectorsOfSegments(request: RingRequest): number {
  const { firstSect, lastSect, segmentCount } = request;
  let sectors = 0;
  for (let segment = 0; segment < segmentCount; segment++) {
    const first = firstSect[segment];
    const last = lastSect[segment];
    if (first > last || last >= SECTORS_PER_PAGE) return 0;
    sectors += last - first + 1;
  }
  return sectors;
}

function checkExtent(request: RingRequest, sectors: number, limits: RequestLimits): BlkifStatus {
  if (request.sectorOverflow) return BLKIF_RSP_ERROR;
  // Compared by subtraction: no sum that could pass 2^53.
  if (sectors > limits.sectors || request.sector > limits.sectors - sectors) return BLKIF_RSP_ERROR;
  request.totalSectors = sectors;
  return BLKIF_RSP_OKAY;
}
