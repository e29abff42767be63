/** Writes of zeros that a client wants allocated: ordinary writes, one after the other. */
import { mapZeroed } from '../../../native-bindings/mapping';
import { SECTOR_BYTES } from '../../sector';
import type { MemoryArea } from '../../store/memory-area';
import { REQUEST_WRITE, type VbdRequest } from '../../vbd/request';
import { REQUESTS_IN_FLIGHT_MAX, ZERO_AREA_BYTES, ZERO_STEP_BYTES } from './limits';

/** Never written to, so one for the process. */
let zeros: MemoryArea | null = null;

/** By slot, what of such a write is left. */
export class ZeroSteps {
  private readonly sectors = new Float64Array(REQUESTS_IN_FLIGHT_MAX);
  private readonly leftBytes = new Float64Array(REQUESTS_IN_FLIGHT_MAX);

  begin(slot: number, sector: number, lengthBytes: number): void {
    this.sectors[slot] = sector;
    this.leftBytes[slot] = lengthBytes;
  }

  isOver(slot: number): boolean {
    return this.leftBytes[slot] === 0;
  }

  /** No further step, after one that failed. */
  cancel(slot: number): void {
    this.leftBytes[slot] = 0;
  }

  /** Makes the request a write of the next piece. */
  fill(slot: number, request: VbdRequest): void {
    const bytes = Math.min(this.leftBytes[slot], ZERO_STEP_BYTES);
    request.operation = REQUEST_WRITE;
    request.sector = this.sectors[slot];
    request.sectorCount = bytes / SECTOR_BYTES;
    request.memory = zeros ??= mapZeroed(ZERO_AREA_BYTES);
    request.runCount = 0;
    for (let at = 0; at < bytes; at += ZERO_AREA_BYTES) {
      request.runOffsets[request.runCount] = 0;
      request.runLengths[request.runCount++] = Math.min(ZERO_AREA_BYTES, bytes - at);
    }
    this.sectors[slot] += request.sectorCount;
    this.leftBytes[slot] -= bytes;
  }
}
