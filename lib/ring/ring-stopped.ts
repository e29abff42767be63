/** Why a ring was stopped: its other side broke the rules of the indices. */
import { TapdiskError } from '../errors';

export type RingStoppedCode =
  | 'RING_PRODUCER_OVERFLOW'
  | 'RING_PRODUCER_REWOUND'
  | 'RING_RESPONSE_OVERFLOW'
  | 'RING_RESPONSES_REWRITTEN'
  | 'RING_JOURNAL_LOST'
  | 'RING_JOURNAL_CORRUPT';

/** Kept in a ring's `stopped`; a stopped ring's memory is neither read nor written any more. */
export class RingStopped extends TapdiskError {
  constructor(
    override readonly code: RingStoppedCode,
    message: string,
  ) {
    super(code, message);
    this.name = 'RingStopped';
  }
}
