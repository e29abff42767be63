/** Which sectors of a block device take space: what a front end may tell its clients. */

/**
 * Asked between requests, answered at once. What is not allocated reads as zeros; what is
 * allocated may do so too.
 */
export interface BlockAllocation {
  /** First allocated sector in [from, end), or `end` where there is none. */
  nextAllocatedSector(from: number, end: number): number;
  /** First sector in [from, end) that is not allocated, or `end`. */
  nextFreeSector(from: number, end: number): number;
}
