/** Opens the front end that a minor number, or a location, names. */
import type { BlockDevice } from '../vbd/block-device';
import { BlktapFrontend } from '../frontend/blktap/blktap-frontend';
import { findDevice } from '../frontend/blktap/find-device';
import { linuxSyscalls } from '../frontend/blktap/linux-syscalls';
import type { Frontend, FrontendEvents } from '../frontend/frontend';
import { ShmFrontend } from '../frontend/shm/shm-frontend';

/** @throws TapdiskError of findDevice and of the front end's kind */
export function openFrontend(
  minor: number,
  blockDevice: BlockDevice,
  events: FrontendEvents,
): Frontend {
  const { kind, path } = findDevice(minor, linuxSyscalls);
  if (kind === 'shm') return ShmFrontend.open(path, blockDevice, events);
  return BlktapFrontend.open(path, blockDevice, events);
}
