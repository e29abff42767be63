/** Which volume a toolstack's nodes name, and whether the disk is ours to serve at all. */
import path from 'node:path';
import { parseVolumeAddress } from '../pool/address';
import { type AttachMode, parseDiskPath } from '../tapdisk/disk-path';
import type { BackEndPath } from '../xenstore/back-end-path';
import type { BackEndNodes } from './back-end-nodes';
import { volumeOfMarker } from './volume-markers';

/** The hotplug script's name: whoever writes `script=block-tapdisk-ts` means us. */
export const HOTPLUG_SCRIPT = 'block-tapdisk-ts';

export interface NamedVolume {
  /** "pool/volume" */
  readonly volume: string;
  readonly mode: AttachMode;
  readonly readOnly: boolean;
  /** libxl runs our script once the back end waits, and looks there for errors. */
  readonly hasScript: boolean;
}

/** blktap's and blktap2's spellings of a target: `aio:main/web`, `tap:aio:main/web`. */
const TYPE_PREFIX = /^(?:tap2?:)?(?:aio:|chunk:)?/;

/**
 * Null: another back end's disk, or not yet described.
 * - `script=block-tapdisk-ts`: `params` is POOL/VOLUME, with the suffixes of parseDiskPath;
 * - `params` is a marker file of ours (a plain raw disk line);
 * - the back ends `tap` and `vbd3`, which the kernel has none for: `params` is POOL/VOLUME,
 *   perhaps after `aio:`; a path there is another toolstack's own.
 *
 * @throws TapdiskError ADDRESS_INVALID, NAME_INVALID
 */
export function namedVolume(
  backEnd: BackEndPath,
  nodes: BackEndNodes,
  markersDirectory: string,
): NamedVolume | null {
  const { params, script } = nodes;
  if (params === undefined || params === '') return null;
  const readOnly = nodes.mode === 'r';
  const hasScript = script !== undefined && path.basename(script) === HOTPLUG_SCRIPT;
  const target = params.replace(TYPE_PREFIX, '');
  const marked = volumeOfMarker(markersDirectory, target);
  if (marked !== null) return { volume: checked(marked), mode: 'attach', readOnly, hasScript };
  if (!hasScript && (backEnd.kind === 'vbd' || target.startsWith('/'))) return null;
  const { path: volume, mode } = parseDiskPath(target);
  return { volume: checked(volume), mode, readOnly, hasScript };
}

function checked(volume: string): string {
  parseVolumeAddress(volume);
  return volume;
}
