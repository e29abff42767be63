/** Opens the front end of a ring in a Xen guest's own memory. */
import type { WatchReadable } from '../../native-bindings/watch';
import { ensureRuntimeDirectory } from '../control/runtime-dir';
import type { Frontend } from '../frontend/frontend';
import { XenFrontend } from '../frontend/xen/xen-frontend';
import { openXenHost } from '../frontend/xen/xen-host';
import type { BlockDevice } from '../vbd/block-device';
import type { DeviceNumber, DiskEvents } from './open-frontend';

/**
 * As OpenFrontend, for the back end whose directory in xenstore is `backEnd`; the minor number means
 * nothing.
 *
 * @throws TapdiskError of XenFrontend
 */
export function openXenFrontend(
  backEnd: string,
  { domid }: DeviceNumber,
  blockDevice: BlockDevice,
  events: DiskEvents,
  watchDoorbell?: WatchReadable,
): Frontend {
  // On a tmpfs: what it holds is of this boot's guests.
  const journalDirectory = ensureRuntimeDirectory(process.env);
  const disk = { backEnd, domid, journalDirectory };
  return XenFrontend.open(disk, blockDevice, events, () => openXenHost(watchDoorbell));
}
