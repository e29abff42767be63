/** The ABI of 32-bit guests: u64 fields are aligned to 4 bytes. */
import { BlkifCodec } from './blkif-codec';
import type { RingAbi } from './abi';
import { X86_32_ENTRY_BYTES } from './layout';
import { BLKIF_OPERATIONS } from './operations';

const X86_32_OFFSETS = {
  entryBytes: X86_32_ENTRY_BYTES,
  id: 4,
  sectorNumber: 12,
  segments: 20,
  discardNrSectors: 20,
  indirectSectorNumber: 12,
  indirectHandle: 20,
  indirectGrefs: 24,
} as const;

/** xenstore's protocol "x86_32-abi". */
export const ABI_X86_32: RingAbi = new BlkifCodec('x86_32', X86_32_OFFSETS, BLKIF_OPERATIONS, true);
