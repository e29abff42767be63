/** Opens the front end that a minor number, or a location, names. */
import { prepareLibc } from '../../native-bindings/libc';
import type { WatchReadable } from '../../native-bindings/watch';
import { ensureRuntimeDirectory } from '../control/runtime-dir';
import type { BlockDevice } from '../vbd/block-device';
import { BlktapFrontend } from '../frontend/blktap/blktap-frontend';
import { findDevice } from '../frontend/blktap/find-device';
import { linuxSyscalls } from '../frontend/blktap/linux-syscalls';
import type { Frontend } from '../frontend/frontend';
import { ShmQueuesFrontend } from '../frontend/shm/shm-queues-frontend';
import type { HandshakeEvents } from '../frontend/xen/handshake';
import { XenFrontend } from '../frontend/xen/xen-frontend';
import { openXenHost } from '../frontend/xen/xen-host';

/** What a toolstack said of where a disk's requests come from. */
export interface RingPlace {
  /** Of a device; without meaning where `xenBackend` is. */
  readonly minor: number;
  /** The guest's. */
  readonly domid: number;
  /** The back end's directory in xenstore, for a ring in the guest's own memory. */
  readonly xenBackend: string | null;
}

/**
 * `watchDoorbell` watches the doorbell of a front end whose doorbell is a file like any other.
 *
 * @throws TapdiskError of findDevice and of the front end's kind
 */
export function openFrontend(
  { minor, domid, xenBackend }: RingPlace,
  blockDevice: BlockDevice,
  events: HandshakeEvents,
  watchDoorbell?: WatchReadable,
): Frontend {
  if (xenBackend !== null) {
    // On a tmpfs: what it holds is of this boot's guests.
    const journalDirectory = ensureRuntimeDirectory(process.env);
    const disk = { backEnd: xenBackend, domid, journalDirectory };
    return XenFrontend.open(disk, blockDevice, events, () => openXenHost(watchDoorbell));
  }
  const { kind, path } = findDevice(minor, linuxSyscalls);
  if (kind === 'shm') return ShmQueuesFrontend.open(path, blockDevice, events, watchDoorbell);
  return BlktapFrontend.open(path, blockDevice, events);
}

/** Loads what opening one takes (a tenth of a second and more), for those whose guest will wait. */
export function prepareFrontend(): void {
  prepareLibc();
}
