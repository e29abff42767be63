/** How a toolstack names a disk: `POOL/VOLUME`, and by a suffix how to get it and where its ring is. */

/** Attach at once; stand by until it is free or handed over; take it from a dead owner. */
export type AttachMode = 'attach' | 'wait' | 'steal';

export interface DiskPath {
  /** "pool/volume" */
  readonly path: string;
  readonly mode: AttachMode;
  /**
   * The back end's directory in xenstore ("backend/vbd/5/51712"), unchecked, for a ring in a Xen
   * guest's memory; null: the ring is a device, which a minor names.
   */
  readonly xenBackend: string | null;
}

const XEN_PREFIX = 'xen=';

/** `wait` or `steal`, then `xen=…`, each once at most: `main/web?wait&xen=backend/vbd/5/51712`. */
const SUFFIX = /^(?<path>[^?]*)\?(?<mode>wait|steal)?(?:(?<and>&)?xen=(?<xen>[^?&]+))?$/;

/** Any other suffix is left where it is: no name may have a question mark, so it is refused later. */
export function parseDiskPath(text: string): DiskPath {
  const { path, mode, and, xen } = SUFFIX.exec(text)?.groups ?? {};
  const isSuffix = mode !== undefined || xen !== undefined;
  const isJoinedRight = xen === undefined || (and !== undefined) === (mode !== undefined);
  if (!isSuffix || !isJoinedRight) return { path: text, mode: 'attach', xenBackend: null };
  return { path, mode: (mode ?? 'attach') as AttachMode, xenBackend: xen ?? null };
}

/** The other way round; without `xenBackend`: of a disk whose ring is a device. */
export function formatDiskPath(
  disk: Pick<DiskPath, 'path' | 'mode'> & Partial<Pick<DiskPath, 'xenBackend'>>,
): string {
  const suffixes: string[] = disk.mode === 'attach' ? [] : [disk.mode];
  if (typeof disk.xenBackend === 'string') suffixes.push(XEN_PREFIX + disk.xenBackend);
  return suffixes.length === 0 ? disk.path : `${disk.path}?${suffixes.join('&')}`;
}
