/** What of Xen one disk holds open: grants, event channels, and the memory its data passes through. */
import { type EventChannels, openEventChannels } from '../../../native-bindings/evtchn';
import { type GrantDevice, openGrantDevice } from '../../../native-bindings/gntdev';
import { StagingArea } from './staging-area';

export interface XenSystem {
  readonly grants: GrantDevice;
  readonly events: EventChannels;
  /** Requests' data lies here while the VBD has them; one ring after the other uses it. */
  readonly staging: StagingArea;
}

/** This host's; `closeXenSystem` when no ring is open any more. */
export function openXenSystem(): XenSystem {
  const grants = openGrantDevice();
  try {
    const events = openEventChannels();
    return { grants, events, staging: new StagingArea() };
  } catch (error) {
    grants.close();
    throw error;
  }
}

export function closeXenSystem(system: XenSystem): void {
  system.grants.close();
  system.events.close();
  system.staging.close();
}
