/** Gives a ring back after its disk was detached: the stand-in's files, or the kernel's ring. */
import { freeTap } from '../../frontend/blktap/blktap2-control';
import { parseRingLocation } from '../../frontend/blktap/find-device';
import { identifyModule } from '../../frontend/blktap/identify-module';
import { linuxSyscalls } from '../../frontend/blktap/linux-syscalls';
import { ShmDevice } from '../../frontend/shm/shm-device';
import { removeStandIn, ringsOfStandIn } from '../../frontend/shm/shm-queues';
import { TapdiskError } from '../../errors';

/** @throws TapdiskError DEVICE_NOT_REMOVABLE, and those of the device's kind */
export function releaseDevice(device: string): void {
  const { kind, path } = parseRingLocation(device);
  if (kind === 'shm') {
    // Nothing but a stand-in device is removed, whatever the process said its path is.
    for (const ring of ringsOfStandIn(path)) ShmDevice.open(ring);
    removeStandIn(path);
    return;
  }
  if (!freesTap(path)) {
    throw new TapdiskError(
      'DEVICE_NOT_REMOVABLE',
      `The disk is detached, but ${device} stays: only stand-in devices and unused blktap2 rings can be removed.`,
    );
  }
}

/** By its driver: a tap must not be freed for another device of the same minor number. */
function freesTap(path: string): boolean {
  try {
    const { kind, minor } = identifyModule(path, linuxSyscalls);
    return kind !== 'blktap1' && freeTap(linuxSyscalls, minor) === 'freed';
  } catch (error) {
    if (error instanceof TapdiskError) return false;
    throw error;
  }
}
