/** The nodes by which a back end tells a front end what it can do (blkif.h, "Backend XenBus Nodes"). */
import type { BlockDevice } from '../../vbd/block-device';
import type { NodeChanges } from '../../xenstore/directory';
import type { OfferedRings } from './front-end-nodes';

export interface OfferedFeatures extends OfferedRings {
  readonly indirectSegmentsMax: number;
  /** The toolstack's `discard-enable`. */
  readonly discardEnabled: boolean;
}

const VDISK_CDROM = 1;
const VDISK_REMOVABLE = 2;
const VDISK_READONLY = 4;

const LOGICAL_SECTOR_BYTES = 512;
/** What a transfer should be aligned to: direct I/O's block on nearly every disk below a pool. */
const PHYSICAL_SECTOR_BYTES = 4096;

/**
 * All that may be in the directory before the front end reads it. A back end that was bound before
 * may have left more than this one can do, and a front end obeys whatever it finds.
 */
export function featureNodes(
  disk: Pick<BlockDevice, 'readOnly' | 'discardGranularityBytes'>,
  features: OfferedFeatures,
): NodeChanges {
  const { discardGranularityBytes } = disk;
  const discards = features.discardEnabled && !disk.readOnly && discardGranularityBytes > 0;
  return {
    'max-ring-page-order': String(features.ringPageOrderMax),
    'max-ring-pages': String(2 ** features.ringPageOrderMax),
    'multi-queue-max-queues': String(features.queuesMax),
    'feature-max-indirect-segments': String(features.indirectSegmentsMax),
    'feature-persistent': features.persistent ? '1' : '0',
    'feature-flush-cache': '1',
    'feature-barrier': '1',
    'feature-discard': discards ? '1' : '0',
    'discard-granularity': discards ? String(discardGranularityBytes) : null,
    'discard-alignment': discards ? '0' : null,
    'discard-secure': discards ? '0' : null,
    'feature-large-sector-size': null,
  };
}

/** The toolstack's part of what a disk is. */
export interface DiskMarks {
  readonly cdrom: boolean;
  readonly removable: boolean;
}

/** What the front end reads once this side is Connected. `sectors` are of 512 bytes always. */
export function diskNodes(
  disk: Pick<BlockDevice, 'readOnly' | 'sectors'>,
  marks: DiskMarks,
): NodeChanges {
  const info =
    (marks.cdrom ? VDISK_CDROM : 0) |
    (marks.removable ? VDISK_REMOVABLE : 0) |
    (disk.readOnly ? VDISK_READONLY : 0);
  return {
    sectors: String(disk.sectors),
    'sector-size': String(LOGICAL_SECTOR_BYTES),
    'physical-sector-size': String(PHYSICAL_SECTOR_BYTES),
    info: String(info),
  };
}
