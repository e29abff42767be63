/** Loads the front end that serves a disk's ring, by where that ring is. */
import type { WatchReadable } from '../../native-bindings/watch';
import type { Frontend } from '../frontend/frontend';
import type { HandshakeEvents } from '../frontend/xen/handshake';
import type { BlockDevice } from '../vbd/block-device';

/** What a toolstack says of a device when it connects a disk. */
export interface DeviceNumber {
  readonly minor: number;
  /** The guest's. */
  readonly domid: number;
}

export type DiskEvents = HandshakeEvents;

/** `watchDoorbell` watches the doorbell of a front end whose doorbell is a file like any other. */
export type OpenFrontend = (
  device: DeviceNumber,
  blockDevice: BlockDevice,
  events: DiskEvents,
  watchDoorbell?: WatchReadable,
) => Frontend;

/**
 * Loads it now, as it may be opened long after, by another version's files; `xenBackend`: see DiskPath.
 */
export function loadFrontend(xenBackend: string | null): OpenFrontend {
  if (xenBackend === null) return deviceFrontends().openDeviceFrontend;
  const { openXenFrontend } = xenFrontends();
  return (...opened) => openXenFrontend(xenBackend, ...opened);
}

/** Every one, for a process that does not know its disk yet. */
export function loadFrontends(): void {
  deviceFrontends();
  xenFrontends();
}

/* eslint-disable @typescript-eslint/no-require-imports -- imports would load
   all front ends for each disk, which has one (docs/architecture.md, What is loaded when) */
const deviceFrontends = (): typeof import('./open-device-frontend') =>
  require('./open-device-frontend') as typeof import('./open-device-frontend');
const xenFrontends = (): typeof import('./open-xen-frontend') =>
  require('./open-xen-frontend') as typeof import('./open-xen-frontend');
/* eslint-enable @typescript-eslint/no-require-imports */
