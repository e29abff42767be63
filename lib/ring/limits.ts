/** Limits of a ring and of one request on it, and what happens at each. */

/** Pages of one ring (blkback's max_ring_page_order 4). More: RING_PAGES. */
export const RING_PAGES_MAX = 16;

/** Segments of a plain request (blkif.h). More: the request is answered ERROR. */
export const SEGMENTS_PER_REQUEST_MAX = 11;

/** Segments of an indirect request (blkback offers 256). More: the request is answered ERROR. */
export const INDIRECT_SEGMENTS_MAX = 256;

/** Pages of segments that an indirect request has room to name (blkif.h). */
export const INDIRECT_PAGES_MAX = 8;
