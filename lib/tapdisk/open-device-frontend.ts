/** Opens the front end of a ring that is a device: a blktap kernel's, or a stand-in. */
import type { WatchReadable } from '../../native-bindings/watch';
import { BlktapFrontend } from '../frontend/blktap/blktap-frontend';
import { findDevice } from '../frontend/blktap/find-device';
import { linuxSyscalls } from '../frontend/blktap/linux-syscalls';
import type { Frontend } from '../frontend/frontend';
import { ShmQueuesFrontend } from '../frontend/shm/shm-queues-frontend';
import type { BlockDevice } from '../vbd/block-device';
import type { DeviceNumber, DiskEvents } from './open-frontend';

/** As OpenFrontend. @throws TapdiskError of findDevice and of the front end's kind */
export function openDeviceFrontend(
  { minor }: DeviceNumber,
  blockDevice: BlockDevice,
  events: DiskEvents,
  watchDoorbell?: WatchReadable,
): Frontend {
  const { kind, path } = findDevice(minor, linuxSyscalls);
  if (kind === 'shm') return ShmQueuesFrontend.open(path, blockDevice, events, watchDoorbell);
  return BlktapFrontend.open(path, blockDevice, events);
}
