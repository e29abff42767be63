/** Operation numbers and response statuses of a block ring, as blkif.h and blktap2 number them. */

export const BLKIF_OP_READ = 0;
export const BLKIF_OP_WRITE = 1;
export const BLKIF_OP_WRITE_BARRIER = 2;
export const BLKIF_OP_FLUSH_DISKCACHE = 3;
export const BLKIF_OP_DISCARD = 5;
export const BLKIF_OP_INDIRECT = 6;

/** What a request's normalised operation is when its number is not one of the above. */
export const OPERATION_UNKNOWN = -1;

/** blktap2's own numbers, where they differ from blkif.h's. */
export const BLKTAP2_OP_FLUSH = 2;
export const BLKTAP2_OP_TRIM = 3;

/** `flag` of a discard request: the range must become unrecoverable. */
export const BLKIF_DISCARD_SECURE = 1;

export const BLKIF_RSP_OKAY = 0;
export const BLKIF_RSP_ERROR = -1;
export const BLKIF_RSP_EOPNOTSUPP = -2;

export type BlkifStatus =
  typeof BLKIF_RSP_OKAY | typeof BLKIF_RSP_ERROR | typeof BLKIF_RSP_EOPNOTSUPP;

/**
 * How an ABI numbers the operations: pairs of [number on the wire, blkif.h's number].
 * blkif.h's RESERVED_1 (4, packet) is in no table: nothing here serves it.
 */
export type OperationNumbers = readonly (readonly [wire: number, operation: number])[];

export const BLKIF_OPERATIONS: OperationNumbers = [
  [BLKIF_OP_READ, BLKIF_OP_READ],
  [BLKIF_OP_WRITE, BLKIF_OP_WRITE],
  [BLKIF_OP_WRITE_BARRIER, BLKIF_OP_WRITE_BARRIER],
  [BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_FLUSH_DISKCACHE],
  [BLKIF_OP_DISCARD, BLKIF_OP_DISCARD],
  [BLKIF_OP_INDIRECT, BLKIF_OP_INDIRECT],
];

export const BLKTAP2_OPERATIONS: OperationNumbers = [
  [BLKIF_OP_READ, BLKIF_OP_READ],
  [BLKIF_OP_WRITE, BLKIF_OP_WRITE],
  [BLKTAP2_OP_FLUSH, BLKIF_OP_FLUSH_DISKCACHE],
  [BLKTAP2_OP_TRIM, BLKIF_OP_DISCARD],
];
