/** A back end's directory in xenstore, one for each virtual disk that a domain has. */

/** libxl's name for block devices; blktap1's; XenServer's and XCP-ng's. */
export const BACK_END_KINDS = ['vbd', 'tap', 'vbd3'] as const;

export interface BackEndPath {
  readonly kind: (typeof BACK_END_KINDS)[number];
  /** The domain of the front end. */
  readonly domid: number;
  /** The virtual device's number: see virtualDeviceNumber. */
  readonly devid: number;
  /** Relative: `backend/vbd/5/51712`. */
  readonly path: string;
  /** `vbd-5-51712`, as the kernel's xen-backend bus names it. */
  readonly key: string;
}

const PATTERN =
  /^(?:\/local\/domain\/0\/)?backend\/(?<kind>vbd|tap|vbd3)\/(?<domid>\d{1,5})\/(?<devid>\d{1,10})(?:\/|$)/;

/** The back end that a path is, or is below; null where it is none, or above one. */
export function backEndAt(path: string): BackEndPath | null {
  const groups = PATTERN.exec(path)?.groups;
  if (groups === undefined) return null;
  return backEnd(groups.kind as BackEndPath['kind'], Number(groups.domid), Number(groups.devid));
}

export function backEnd(kind: BackEndPath['kind'], domid: number, devid: number): BackEndPath {
  const path = `backend/${kind}/${domid}/${devid}`;
  return { kind, domid, devid, path, key: `${kind}-${domid}-${devid}` };
}

/** What the process that serves a Xen guest's disk calls it: `xen:backend/vbd/5/51712`. */
const DEVICE_PREFIX = 'xen:';

export function xenDeviceOf(backEnd: BackEndPath): string {
  return DEVICE_PREFIX + backEnd.path;
}

/** The back end that a process says that it serves; null where its ring is another device. */
export function backEndOfDevice(device: string | null): BackEndPath | null {
  return device?.startsWith(DEVICE_PREFIX) ? backEndAt(device.slice(DEVICE_PREFIX.length)) : null;
}
