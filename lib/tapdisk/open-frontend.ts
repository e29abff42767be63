/** Opens the front end that a minor number, or a location, names. */
import { libc } from '../../native-bindings/libc';
import type { WatchReadable } from '../../native-bindings/watch';
import type { BlockDevice } from '../vbd/block-device';
import { BlktapFrontend } from '../frontend/blktap/blktap-frontend';
import { findDevice } from '../frontend/blktap/find-device';
import { linuxSyscalls } from '../frontend/blktap/linux-syscalls';
import type { Frontend, FrontendEvents } from '../frontend/frontend';
import { ShmQueuesFrontend } from '../frontend/shm/shm-queues-frontend';

/**
 * `watchDoorbell` watches the doorbell of a front end whose doorbell is a file like any other.
 *
 * @throws TapdiskError of findDevice and of the front end's kind
 */
export function openFrontend(
  minor: number,
  blockDevice: BlockDevice,
  events: FrontendEvents,
  watchDoorbell?: WatchReadable,
): Frontend {
  const { kind, path } = findDevice(minor, linuxSyscalls);
  if (kind === 'shm') return ShmQueuesFrontend.open(path, blockDevice, events, watchDoorbell);
  return BlktapFrontend.open(path, blockDevice, events);
}

/** Loads what opening one takes (a tenth of a second and more), for those whose guest will wait. */
export function prepareFrontend(): void {
  libc();
}
