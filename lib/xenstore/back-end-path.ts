/** A back end's directory in xenstore, one for each virtual disk that a domain has. */
import { TapdiskError } from '../errors';
import { DEVID_MAX, DOMID_MAX } from './limits';

/** libxl's name for block devices; blktap1's; XenServer's and XCP-ng's. */
export const BACK_END_KINDS = ['vbd', 'tap', 'vbd3'] as const;

export interface BackEndPath {
  readonly kind: (typeof BACK_END_KINDS)[number];
  /** The domain of the front end. */
  readonly domid: number;
  /** The virtual device's number, for example 51712 for xvda. */
  readonly devid: number;
  /** Relative, `backend/vbd/5/51712`; of parseBackEndPath, as it was given. */
  readonly path: string;
  /** `vbd-5-51712`, as the kernel's xen-backend bus names it; no other disk of this host has it. */
  readonly key: string;
}

const PATTERN =
  /^(?:\/local\/domain\/(?<home>\d{1,5})\/)?backend\/(?<kind>vbd|tap|vbd3)\/(?<domid>\d{1,5})\/(?<devid>\d{1,10})(?<end>\/|$)/;

/** The back end that a path is, or is below; null where it is none, above one, or another domain's. */
export function backEndAt(path: string): BackEndPath | null {
  const found = match(path);
  return found === null || found.home !== '0' ? null : found.at;
}

/**
 * The back end that a path is; also another host domain's, `/local/domain/N/backend/…`.
 *
 * @throws TapdiskError XEN_PATH_INVALID
 */
export function parseBackEndPath(path: string): BackEndPath {
  const found = match(path);
  const isOne = found !== null && !found.isBelow;
  if (!isOne || found.at.domid > DOMID_MAX || found.at.devid > DEVID_MAX) {
    throw new TapdiskError(
      'XEN_PATH_INVALID',
      `${JSON.stringify(path)} is no back end's directory in xenstore; ` +
        'give one like backend/vbd/5/51712',
    );
  }
  return { ...found.at, path };
}

export function backEnd(kind: BackEndPath['kind'], domid: number, devid: number): BackEndPath {
  const path = `backend/${kind}/${domid}/${devid}`;
  return { kind, domid, devid, path, key: `${kind}-${domid}-${devid}` };
}

/** `home`: the domain whose back end it is; '0' where the path is relative. */
function match(path: string): { at: BackEndPath; home: string; isBelow: boolean } | null {
  const groups = PATTERN.exec(path)?.groups;
  if (groups === undefined) return null;
  const { home = '0', kind, domid, devid, end } = groups;
  const at = backEnd(kind as BackEndPath['kind'], Number(domid), Number(devid));
  return { at, home, isBelow: end === '/' };
}
