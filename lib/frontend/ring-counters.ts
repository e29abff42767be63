/** What a ring server counts, for `stats`. */

/** Numbers since the front end was made; sessions of a stand-in add up. */
export interface RingCounters {
  /** Wake-ups by the other side's doorbell. */
  wakeups: number;
  /** Requests taken off the ring. */
  requests: number;
  /** Of these, refused before they reached the VBD. */
  refused: number;
  responses: number;
  /** Doorbells rung. */
  kicks: number;
  /** Times that the VBD's request pool was found empty. */
  poolEmpty: number;
  /** Requests that ended with an error since the guest's pages could not be copied. */
  copiesFailed: number;
  /** Of the guest's pages, those that are mapped now for as long as its ring is. */
  persistentGrants: number;
}

export function newRingCounters(): RingCounters {
  return {
    wakeups: 0,
    requests: 0,
    refused: 0,
    responses: 0,
    kicks: 0,
    poolEmpty: 0,
    copiesFailed: 0,
    persistentGrants: 0,
  };
}
