/** blktapctrl's disk types that a chunk volume may come under. */

/**
 * blktapctrl validates the handle before the colon against its own table, so an unpatched one
 * reaches us by `aio:pool/volume` (0) or `sync:pool/volume` (1). 2 to 5 are image formats of
 * tapdisk.h that we do not read; 6 is the first free number, ours.
 */
export const DRIVER_TYPE_AIO = 0;
export const DRIVER_TYPE_SYNC = 1;
export const DRIVER_TYPE_CHUNK = 6;

export const DRIVER_TYPES_SERVED: ReadonlySet<number> = new Set([
  DRIVER_TYPE_AIO,
  DRIVER_TYPE_SYNC,
  DRIVER_TYPE_CHUNK,
]);
