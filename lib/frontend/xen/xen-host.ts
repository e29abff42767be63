/** What of its host a Xen front end uses: the seam where a test puts its own. */
import type { WatchReadable } from '../../../native-bindings/watch';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import { openXenStore } from '../../xenstore/open-xenstore';
import type { FrontendEvents } from '../frontend';
import { openXenRings } from './open-xen-rings';
import type { XenRings, XenRingsAddress } from './rings';
import type { OpenStore } from './store-link';
import { closeXenSystem, openXenSystem } from './xen-system';

export interface XenHost {
  readonly openStore: OpenStore;
  /** Memory of all requests, until `close`. */
  readonly steadyMemory: readonly MemoryArea[];
  /** As openXenRings. */
  openRings(
    address: XenRingsAddress,
    blockDevice: BlockDevice,
    events: Pick<FrontendEvents, 'onStopped'>,
  ): XenRings;
  /** After the last rings were closed. */
  close(): void;
}

/**
 * This host's own. `watch` is what the guests' events are heard with.
 *
 * @throws TapdiskError XEN_DEVICE_UNUSABLE
 */
export function openXenHost(watch?: WatchReadable): XenHost {
  const system = openXenSystem();
  return {
    openStore: openXenStore,
    steadyMemory: system.staging.steadyMemory,
    openRings: (address, blockDevice, events) =>
      openXenRings(address, blockDevice, events, system, watch),
    close: () => closeXenSystem(system),
  };
}
