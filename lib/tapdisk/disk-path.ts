/** How a toolstack names a disk: `POOL/VOLUME`, and by a suffix how to get it. */

/** Attach at once; stand by until it is free or handed over; take it from a dead owner. */
export type AttachMode = 'attach' | 'wait' | 'steal';

export interface DiskPath {
  /** "pool/volume" */
  readonly path: string;
  readonly mode: AttachMode;
}

const SUFFIXES: readonly (readonly [suffix: string, mode: AttachMode])[] = [
  ['?wait', 'wait'],
  ['?steal', 'steal'],
];

/** Any other suffix is left where it is: no name may have a question mark, so it is refused later. */
export function parseDiskPath(text: string): DiskPath {
  for (const [suffix, mode] of SUFFIXES) {
    if (text.endsWith(suffix)) return { path: text.slice(0, -suffix.length), mode };
  }
  return { path: text, mode: 'attach' };
}

/** The other way round. */
export function formatDiskPath({ path, mode }: DiskPath): string {
  return path + (SUFFIXES.find(([, candidate]) => candidate === mode)?.[0] ?? '');
}
