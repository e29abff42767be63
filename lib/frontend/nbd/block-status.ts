/** Describes which parts of an export are allocated, as NBD's base:allocation. */
import type { BlockAllocation } from '../../vbd/block-allocation';
import { SECTOR_BYTES } from '../../sector';
import { STATE_HOLE, STATE_ZERO } from './protocol';

/** An extent on the wire: 32 bits of length, 32 of state. */
export const EXTENT_BYTES = 8;

/**
 * Writes up to `extentsMax` extents of [sector, sector + sectorCount) at `at`, at least one, and
 * returns their bytes. They may end before the range does: the client asks again. The range is
 * below 4 GiB, as one command's is.
 */
export function writeExtents(
  to: Buffer,
  at: number,
  allocation: BlockAllocation,
  sector: number,
  sectorCount: number,
  extentsMax: number,
): number {
  const end = sector + sectorCount;
  let from = sector;
  let count = 0;
  while (from < end && count < extentsMax) {
    const allocated = allocation.nextAllocatedSector(from, end);
    const isHole = allocated > from;
    const next = isHole ? allocated : allocation.nextFreeSector(from, end);
    to.writeUInt32BE((next - from) * SECTOR_BYTES, at + count * EXTENT_BYTES);
    to.writeUInt32BE(isHole ? STATE_HOLE | STATE_ZERO : 0, at + count * EXTENT_BYTES + 4);
    from = next;
    count++;
  }
  return count * EXTENT_BYTES;
}
