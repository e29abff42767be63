/** What a ring needs of an ABI: the size of an entry, and how requests and responses lie in it. */
import type { RingRequest } from './ring-request';
import type { RingResponse } from './ring-response';

export type RingAbiName = 'native' | 'x86_32' | 'blktap2';

/**
 * One ABI of the block ring. None of the codecs allocates. All work on private copies of an entry
 * or on memory that the caller owns to write: `bytes` from `offset` on holds `entryBytes`
 * (to decode: `requestBytes`).
 */
export interface RingAbi {
  readonly name: RingAbiName;
  readonly entryBytes: number;

  /**
   * How many bytes of an entry a request has, whole words, by its first four bytes (native
   * little-endian): the rest need not be copied out.
   */
  requestBytes(firstWord: number): number;

  /** Fills `out` from any bytes whatever; never throws. */
  decodeRequest(bytes: DataView, offset: number, out: RingRequest): void;

  /**
   * Writes a whole entry. The operation is `request.operation`, or, if that is OPERATION_UNKNOWN,
   * the byte `request.wireOperation`. `wireOperationOf(request.operation)` must not be -1 then.
   */
  encodeRequest(request: RingRequest, bytes: DataView, offset: number): void;

  /** The number of a BLKIF_OP_* in this ABI, or -1 where it has none. */
  wireOperationOf(operation: number): number;

  /** Writes the response part of an entry; id as u32 halves, `status` a BLKIF_RSP_*. */
  encodeResponse(
    bytes: DataView,
    offset: number,
    idLow: number,
    idHigh: number,
    wireOperation: number,
    status: number,
  ): void;

  decodeResponse(bytes: DataView, offset: number, out: RingResponse): void;
}
