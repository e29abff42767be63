/** Numbers of the blktap1 and blktap2 kernel interfaces (blktaplib.h, linux-blktap.h). */

export const PAGE_BYTES = 4096;
/** BLKTAP_RING_PAGES: page 0 of the mapping. */
export const BLKTAP_RING_PAGES = 1;
/** MAX_PENDING_REQS: ids are slots 0..31. */
export const BLKTAP_SLOTS = 32;
export const BLKTAP_SEGMENTS_MAX = 11;
/** blktap1 refuses any other length with EAGAIN; blktap2 rounds or accepts. */
export const BLKTAP_MAPPING_PAGES = BLKTAP_RING_PAGES + BLKTAP_SLOTS * BLKTAP_SEGMENTS_MAX;
export const BLKTAP_MAPPING_BYTES = BLKTAP_MAPPING_PAGES * PAGE_BYTES;

/** Names in /proc/devices. */
export const BLKTAP1_DRIVER = 'blktap';
export const BLKTAP2_DRIVER = 'blktap2';

/** Plain integers, without _IOC encoding. */
export const IOCTL_KICK_FE = 1;
export const IOCTL_SETMODE = 3;
export const IOCTL_SENDPID = 4;
export const IOCTL_ALLOC_TAP = 200;
export const IOCTL_FREE_TAP = 201;
export const IOCTL_CREATE_DEVICE_COMPAT = 202;
export const IOCTL_PAUSE = 204;
export const IOCTL_RESUME = 206;
export const IOCTL_REMOVE_DEVICE = 207;
export const IOCTL_CREATE_DEVICE = 208;

/** BLKTAP_MODE_INTERPOSE: the only mode in which KICK_FE does anything useful. */
export const MODE_INTERPOSE = 3;

/** OpenXT's kernel-to-server byte in the ring page's header. */
export const MESSAGE_OFFSET = 16;
export const MESSAGE_PAUSE = 1;
export const MESSAGE_RESUME = 2;
export const MESSAGE_CLOSE = 3;

export const DEVICE_FLAG_READ_ONLY = 1;
export const DEVICE_FLAG_FLUSH = 4;
export const DEVICE_FLAG_TRIM = 8;

/** Sector size reported to the kernel, and the physical one. Rings count in 512 B regardless. */
export const LOGICAL_SECTOR_BYTES = 512;
export const PHYSICAL_SECTOR_BYTES = 4096;

const DEVICE_INFO_BYTES = 56;
const DEVICE_INFO_FLAGS_OFFSET = 16;

/**
 * Argument of CREATE_DEVICE: 56 bytes that XenServer's and OpenXT's modules both take.
 *
 * XenServer reads the physical sector size at 12, where OpenXT has padding; OpenXT reads the
 * discard granularity (bytes) at 32 when the TRIM flag is set, where XenServer has reserve.
 */
export function encodeDeviceInfo(info: {
  sectors: number;
  flags: number;
  discardGranularityBytes: number;
}): Buffer {
  const bytes = Buffer.alloc(DEVICE_INFO_BYTES);
  bytes.writeBigUInt64LE(BigInt(info.sectors), 0);
  bytes.writeUInt32LE(LOGICAL_SECTOR_BYTES, 8);
  bytes.writeUInt32LE(PHYSICAL_SECTOR_BYTES, 12);
  bytes.writeBigUInt64LE(BigInt(info.flags), DEVICE_INFO_FLAGS_OFFSET);
  if ((info.flags & DEVICE_FLAG_TRIM) !== 0) {
    bytes.writeUInt32LE(info.discardGranularityBytes, 32);
  }
  return bytes;
}

/** The flags that the module left standing (OpenXT writes them back masked). */
export function decodeDeviceInfoFlags(bytes: Buffer): number {
  return bytes.readUInt32LE(DEVICE_INFO_FLAGS_OFFSET);
}

/** Argument of the older CREATE_DEVICE (202): name[256], capacity u64, sector_size ulong, pad. */
export function encodeCompatParameters(name: string, sectors: number): Buffer {
  const bytes = Buffer.alloc(272);
  bytes.write(name.slice(0, 255), 0, 'latin1');
  bytes.writeBigUInt64LE(BigInt(sectors), 256);
  bytes.writeBigUInt64LE(BigInt(LOGICAL_SECTOR_BYTES), 264);
  return bytes;
}
