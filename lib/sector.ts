/** The unit of every request, count and size on a ring: 512 bytes, whatever the disk's own is. */
export const SECTOR_BYTES = 512;
