/** A response as decoded from a ring: flat, and reused for the next one. */
export class RingResponse {
  idLow = 0;
  idHigh = 0;
  /** The operation byte as it lay in the ring: the ABI's own number. */
  wireOperation = 0;
  /** BLKIF_RSP_*; i16. */
  status = 0;
}
