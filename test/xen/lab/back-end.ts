/** Where the back end of a guest's disk is in xenstore. */
import type { Guest } from './guest';

/** Numbers of devices (xen-vbd-interface(7)). */
export const XVDA = 51712;
export const XVDB = 51728;

export function backEndOf(guest: Guest, device: number): string {
  return `/local/domain/0/backend/vbd/${guest.domid}/${device}`;
}
