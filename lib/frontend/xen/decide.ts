/**
 * What a back end does next, from the states of both sides alone (xenbus.h; Linux' xen-blkback and
 * xapi's tapback where that is silent).
 *
 * Nothing is remembered here of how a situation came about: after a restart, or after many changes
 * that were seen as one, the answer is the same.
 */
import {
  XENBUS_CLOSED,
  XENBUS_CLOSING,
  XENBUS_CONNECTED,
  XENBUS_INITIALISED,
  XENBUS_INITIALISING,
  XENBUS_INIT_WAIT,
  type XenbusState,
} from '../../xenstore/xenbus-state';

export interface Situation {
  /** Null: the directory is gone. */
  readonly backEnd: XenbusState | null;
  /** XENBUS_UNKNOWN: its `state` is not there, or is none. */
  readonly frontEnd: XenbusState;
  /** False: the toolstack takes the disk away for good. */
  readonly online: boolean;
  /** The hotplug script has done its part, or there is none. */
  readonly hotplugDone: boolean;
  /** This process has the rings open; or has them open and they broke. */
  readonly rings: 'none' | 'open' | 'broken';
  /** This process has offered its features, and nobody else's are left in the directory. */
  readonly offered: boolean;
  /** The directory says that its ring broke: never opened again before the front end comes anew. */
  readonly failed: boolean;
  /** A front end has had the time it gets to close. */
  readonly closingOverdue: boolean;
}

/**
 * `offer`: write features, InitWait. `connect`: open the rings afresh, write the disk's size,
 * Connected. `adopt`: open rings that an earlier process served, and go on where it ended.
 * `compare`: look whether the front end means the rings that are open. `disconnect`: let go of the
 * rings, then look again. `closing`, `closed`: write that state. `leave`: ask to be closed.
 */
export type Step =
  | 'wait'
  | 'offer'
  | 'connect'
  | 'adopt'
  | 'compare'
  | 'disconnect'
  | 'closing'
  | 'closed'
  | 'leave';

export function decide(now: Situation): Step {
  if (now.rings === 'none') return withoutRings(now);
  return now.rings === 'broken' ? 'disconnect' : withRings(now);
}

function withRings({ backEnd, frontEnd }: Situation): Step {
  if (!usesRings(frontEnd)) return 'disconnect';
  switch (backEnd) {
    case XENBUS_CONNECTED:
      if (frontEnd === XENBUS_CLOSING) return 'closing';
      return frontEnd === XENBUS_INITIALISED ? 'compare' : 'wait';
    case XENBUS_CLOSING:
      // Served until the front end is through: it may still have to write.
      return 'wait';
    default:
      return 'disconnect';
  }
}

function withoutRings(now: Situation): Step {
  const { backEnd, frontEnd, online } = now;
  switch (backEnd) {
    case null:
      return 'leave';
    case XENBUS_INIT_WAIT:
      if (!now.offered) return 'offer';
      // Some front ends skip Initialised (Mini-OS), and tapback takes that, too.
      if (frontEnd !== XENBUS_INITIALISED && frontEnd !== XENBUS_CONNECTED) return 'wait';
      return now.hotplugDone ? 'connect' : 'wait';
    case XENBUS_CONNECTED:
      if (usesRings(frontEnd)) return now.failed ? 'closing' : 'adopt';
      return frontEnd === XENBUS_INITIALISING && online ? 'offer' : 'closed';
    case XENBUS_CLOSING:
      if (!usesRings(frontEnd) || now.closingOverdue) return online ? 'closed' : 'leave';
      // In Initialised it never had an answer, so there is nothing to go on with.
      return now.failed || frontEnd === XENBUS_INITIALISED ? 'wait' : 'adopt';
    case XENBUS_CLOSED:
      if (!online) return 'leave';
      return frontEnd === XENBUS_INITIALISING ? 'offer' : 'wait';
    default:
      return 'offer';
  }
}

/** Whether requests may still come, or answers be awaited. */
function usesRings(frontEnd: XenbusState): boolean {
  return (
    frontEnd === XENBUS_INITIALISED || frontEnd === XENBUS_CONNECTED || frontEnd === XENBUS_CLOSING
  );
}
