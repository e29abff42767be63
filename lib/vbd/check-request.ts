/** Says whether a VBD can carry a request out: the last check before any byte moves. */
import { SECTOR_BYTES } from '../sector';
import {
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_BARRIER,
  REQUEST_READ,
  STATUS_ERROR,
  STATUS_OKAY,
  type VbdRequest,
} from './request';

/** STATUS_OKAY, or STATUS_ERROR for a request beyond the end, of no size, or on a read-only disk. */
export function checkRequest(request: VbdRequest, sectors: number, readOnly: boolean): number {
  const { operation, sectorCount } = request;
  if (operation === REQUEST_FLUSH && request.runCount === 0) return STATUS_OKAY;
  if (operation === REQUEST_BARRIER && request.runCount === 0) return STATUS_OKAY;
  if (operation !== REQUEST_READ && readOnly) return STATUS_ERROR;
  if (!Number.isSafeInteger(request.sector) || request.sector < 0) return STATUS_ERROR;
  if (!Number.isSafeInteger(sectorCount) || sectorCount <= 0) return STATUS_ERROR;
  if (request.sector > sectors || sectorCount > sectors - request.sector) return STATUS_ERROR;
  if (carriesData(request) && runBytes(request) !== sectorCount * SECTOR_BYTES) return STATUS_ERROR;
  return STATUS_OKAY;
}

/** True for what moves bytes, or would if it had any. */
export function carriesData(request: VbdRequest): boolean {
  return request.operation < REQUEST_DISCARD;
}

/** Bytes of all runs; NaN where one of them lies outside its memory. */
function runBytes(request: VbdRequest): number {
  const memoryBytes = request.memory.bytes.length;
  let bytes = 0;
  for (let run = 0; run < request.runCount; run++) {
    const offset = request.runOffsets[run];
    const length = request.runLengths[run];
    if (!(offset >= 0 && offset + length <= memoryBytes)) return NaN;
    bytes += length;
  }
  return bytes;
}
