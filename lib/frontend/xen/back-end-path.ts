/** Where a Xen VBD's back end lies in xenstore, and what that path says. */
import { TapdiskError } from '../../errors';
import { DOMID_MAX } from './limits';

export interface BackEndPath {
  /** As it was given: relative to this domain's directory, or absolute. */
  readonly path: string;
  /** Of the guest. */
  readonly domid: number;
  /** The device's number, for example 51712 for xvda. */
  readonly device: number;
  /** `vbd-5-51712`: names files of this ring; no other ring of this host has it meanwhile. */
  readonly key: string;
}

/** `vbd` is libxl's name, `vbd3` XenServer's, `tap` that of blktap1's toolstacks. */
const BACK_END =
  /^(?:\/local\/domain\/[0-9]{1,5}\/)?backend\/(vbd|vbd3|tap)\/([0-9]{1,5})\/([0-9]{1,10})$/;

const DEVICE_MAX = 2 ** 32 - 1;

/** @throws TapdiskError XEN_PATH_INVALID */
export function parseBackEndPath(path: string): BackEndPath {
  const [, kind, domid, device] = BACK_END.exec(path) ?? [];
  if (kind === undefined || Number(domid) > DOMID_MAX || Number(device) > DEVICE_MAX) {
    throw new TapdiskError(
      'XEN_PATH_INVALID',
      `${JSON.stringify(path)} is no back end's directory in xenstore; ` +
        'give one like backend/vbd/5/51712',
    );
  }
  return {
    path,
    domid: Number(domid),
    device: Number(device),
    key: `${kind}-${Number(domid)}-${Number(device)}`,
  };
}
