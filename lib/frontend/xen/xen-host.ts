/** What of its host a Xen front end uses: the seam where a test puts its own. */
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import type { FrontendEvents } from '../frontend';

import type { XenRings, XenRingsAddress } from './rings';
import type { OpenStore } from './store-link';

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
  /** After the last rings were closed; may be called again. */
  close(): void;
}
