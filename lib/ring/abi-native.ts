/** The ABI of 64-bit guests, and of blktap1 whatever the guest (its kernel side translates). */
import { BlkifCodec } from './blkif-codec';
import type { RingAbi } from './abi';
import { NATIVE_ENTRY_BYTES } from './layout';
import { BLKIF_OPERATIONS } from './operations';

/** Where a C compiler for x86_64 puts blkif.h's fields. */
export const NATIVE_OFFSETS = {
  entryBytes: NATIVE_ENTRY_BYTES,
  id: 8,
  sectorNumber: 16,
  segments: 24,
  discardNrSectors: 24,
  indirectSectorNumber: 16,
  indirectHandle: 24,
  indirectGrefs: 28,
} as const;

/** Also xenstore's protocol "x86_64-abi". */
export const ABI_NATIVE: RingAbi = new BlkifCodec('native', NATIVE_OFFSETS, BLKIF_OPERATIONS, true);
