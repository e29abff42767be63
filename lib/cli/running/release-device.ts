/** Gives a ring back after its disk was detached: the stand-in's files, or the kernel's ring. */
import { CONTROL_NODES, freeTap } from '../../frontend/blktap/blktap2-control';
import { parseRingLocation } from '../../frontend/blktap/find-device';
import { linuxSyscalls } from '../../frontend/blktap/linux-syscalls';
import { ShmDevice } from '../../frontend/shm/shm-device';
import { TapdiskError } from '../../errors';

/** @throws TapdiskError DEVICE_NOT_REMOVABLE, and those of the device's kind */
export function releaseDevice(device: string): void {
  const { kind, path } = parseRingLocation(device);
  if (kind === 'shm') {
    // Nothing but a stand-in device is removed, whatever the process said its path is.
    ShmDevice.open(path);
    ShmDevice.remove(path);
    return;
  }
  const minor = linuxSyscalls.characterDevice(path)?.minor;
  const hasControl = CONTROL_NODES.some(
    (node) => linuxSyscalls.characterDevice(node) !== undefined,
  );
  if (minor === undefined || !hasControl || freeTap(linuxSyscalls, minor) !== 'freed') {
    throw new TapdiskError(
      'DEVICE_NOT_REMOVABLE',
      `The disk is detached, but ${device} stays: only stand-in devices and unused blktap2 rings can be removed.`,
    );
  }
}
