/** The ABI of a blktap2 ring: blkif.h's native layout with operation numbers of its own. */
import { BlkifCodec } from './blkif-codec';
import { NATIVE_OFFSETS } from './abi-native';
import type { RingAbi } from './abi';
import { BLKTAP2_OPERATIONS } from './operations';

/** FLUSH is 2, TRIM is 3 with nr_sectors where a discard has it; no barrier, nothing indirect. */
export const ABI_BLKTAP2: RingAbi = new BlkifCodec(
  'blktap2',
  NATIVE_OFFSETS,
  BLKTAP2_OPERATIONS,
  false,
);
