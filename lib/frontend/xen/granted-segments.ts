/** Where in a guest's granted pages the data of one request lies. */
import { INDIRECT_SEGMENTS_MAX } from '../../ring/limits';
import { SECTOR_BYTES } from '../../ring/layout';
import type { RingRequest } from '../../ring/ring-request';

/** A checked request's segments, kept until it is answered: its ring's copy is used for the next. */
export class GrantedSegments {
  count = 0;
  readonly refs = new Uint32Array(INDIRECT_SEGMENTS_MAX);
  /** Bytes within the page, and from there on. */
  readonly offsets = new Uint16Array(INDIRECT_SEGMENTS_MAX);
  readonly lengths = new Uint16Array(INDIRECT_SEGMENTS_MAX);
  /** Its copies in the batch that carries them. */
  firstCopy = 0;
  endCopy = 0;

  keep(request: RingRequest): void {
    const { gref, firstSect, lastSect, segmentCount } = request;
    this.count = segmentCount;
    for (let segment = 0; segment < segmentCount; segment++) {
      this.refs[segment] = gref[segment];
      this.offsets[segment] = firstSect[segment] * SECTOR_BYTES;
      this.lengths[segment] = (lastSect[segment] + 1 - firstSect[segment]) * SECTOR_BYTES;
    }
  }
}
