/** What the process that serves a Xen guest's disk calls it: `xen:backend/vbd/5/51712`. */
import { backEndAt, type BackEndPath } from '../xenstore/back-end-path';

const DEVICE_PREFIX = 'xen:';

export function xenDeviceOf(backEnd: BackEndPath): string {
  return DEVICE_PREFIX + backEnd.path;
}

/** The back end that a process says that it serves; null where its ring is another device. */
export function backEndOfDevice(device: string | null): BackEndPath | null {
  return device?.startsWith(DEVICE_PREFIX) ? backEndAt(device.slice(DEVICE_PREFIX.length)) : null;
}
