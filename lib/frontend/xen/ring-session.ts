/** The rings of one connection of a front end, from where it says they are until it leaves them. */
import { isDeepStrictEqual } from 'node:util';
import type { TapdiskError } from '../../errors';
import type { FrontEndRings } from './front-end-nodes';
import type { XenRings } from './rings';

export interface RingsToOpen extends FrontEndRings {
  /** An earlier process served them. */
  readonly takenOver: boolean;
  /** The toolstack lets the guest give space back. */
  readonly discard: boolean;
}

/** As openXenRings, with all that one disk's rings have in common. */
export type OpenRings = (
  address: RingsToOpen,
  onStopped: (reason: TapdiskError) => void,
) => XenRings;

export class RingSession {
  /** Why the rings were stopped; null while they are served. */
  broken: TapdiskError | null = null;
  readonly rings: XenRings;

  /** `onBroken`: `broken` was set. Throws as openXenRings. */
  constructor(
    open: OpenRings,
    private readonly opened: RingsToOpen,
    onBroken: () => void,
  ) {
    this.rings = open(opened, (reason) => {
      this.broken = reason;
      onBroken();
    });
  }

  /** Whether a front end that says this means the rings that are open. */
  isOf(said: FrontEndRings): boolean {
    const { abi, ringOrder, queues, persistent } = this.opened;
    return isDeepStrictEqual(said, { abi, ringOrder, queues, persistent });
  }
}
