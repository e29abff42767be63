/** Which ring segments a VBD request was made of, told from its memory runs. */
import { SECTOR_BYTES } from '../sector';
import type { VbdRequest } from '../vbd/request';
import { SEGMENTS_MAX } from './limits';
import { PAGE_SECTORS, type TraceRecord } from './trace-record';

/**
 * Sets the record's segments and sector count. A segment never spans two pages, so a run that was
 * merged from several falls apart at the page boundaries again. Runs that no ring can have
 * (sockets' buffers) leave the shape unknown.
 */
export function setSegmentsOfRuns(record: TraceRecord, request: VbdRequest): void {
  record.sectorCount = request.sectorCount;
  record.segmentCount = 0;
  let segments = 0;
  let sectors = 0;
  for (let run = 0; run < request.runCount; run++) {
    const offset = request.runOffsets[run] / SECTOR_BYTES;
    const end = offset + request.runLengths[run] / SECTOR_BYTES;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(end)) return;
    sectors += end - offset;
    for (let sector = offset; sector < end; segments++) {
      if (segments === SEGMENTS_MAX) return;
      const first = sector % PAGE_SECTORS;
      const count = Math.min(PAGE_SECTORS - first, end - sector);
      record.segmentFirst[segments] = first;
      record.segmentLast[segments] = first + count - 1;
      sector += count;
    }
  }
  if (sectors === request.sectorCount) record.segmentCount = segments;
}
