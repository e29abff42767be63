/** Where things lie in a ring's shared memory: xen/include/public/io/ring.h and blkif.h. */
import { assert } from '../assert';
import { TapdiskError } from '../errors';
import { INDIRECT_SEGMENTS_MAX, RING_PAGES_MAX } from './limits';

export const PAGE_BYTES = 4096;
export const SECTOR_BYTES = 512;
export const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;

/** The shared header: four u32 indices, one byte of messages (OpenXT's blktap2), padding. */
export const REQ_PROD_OFFSET = 0;
export const REQ_EVENT_OFFSET = 4;
export const RSP_PROD_OFFSET = 8;
export const RSP_EVENT_OFFSET = 12;
export const MESSAGE_OFFSET = 16;
export const HEADER_BYTES = 64;

/** Requests and responses share a slot, so an entry is as large as the largest request. */
export const NATIVE_ENTRY_BYTES = 112;
export const X86_32_ENTRY_BYTES = 108;

/** struct blkif_request_segment, in a request and in an indirect page alike. */
export const SEGMENT_BYTES = 8;
export const SEGMENT_FIRST_SECT_OFFSET = 4;
export const SEGMENT_LAST_SECT_OFFSET = 5;
export const INDIRECT_SEGMENTS_PER_PAGE = PAGE_BYTES / SEGMENT_BYTES;

/**
 * Entries of a ring of `pages` pages: what fits after the header, rounded down to a power of two
 * (ring.h's __RING_SIZE). Throws RING_PAGES unless `pages` is a power of two from 1 to 16.
 */
export function ringEntries(abi: { readonly entryBytes: number }, pages: number): number {
  if (!Number.isInteger(pages) || pages < 1 || pages > RING_PAGES_MAX || !isPowerOfTwo(pages)) {
    throw new TapdiskError(
      'RING_PAGES',
      `a ring of ${pages} pages is not possible: use 1, 2, 4, 8 or 16 pages`,
    );
  }
  return 2 ** Math.floor(Math.log2(entriesThatFit(abi.entryBytes, pages)));
}

function entriesThatFit(entryBytes: number, pages: number): number {
  return Math.floor((pages * PAGE_BYTES - HEADER_BYTES) / entryBytes);
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

/** [pages, native entries that fit, x86_32 entries that fit, entries]: gcc's from the headers. */
const ENTRIES_TABLE = [
  [1, 36, 37, 32],
  [2, 72, 75, 64],
  [4, 145, 151, 128],
  [8, 292, 302, 256],
  [16, 584, 606, 512],
] as const;

for (const [pages, nativeFit, x86Fit, entries] of ENTRIES_TABLE) {
  const row = `the entries of a ring of ${pages} pages`;
  assert(entriesThatFit(NATIVE_ENTRY_BYTES, pages) === nativeFit, `${row}, native, unrounded`);
  assert(entriesThatFit(X86_32_ENTRY_BYTES, pages) === x86Fit, `${row}, x86_32, unrounded`);
  assert(ringEntries({ entryBytes: NATIVE_ENTRY_BYTES }, pages) === entries, `${row}, native`);
  assert(ringEntries({ entryBytes: X86_32_ENTRY_BYTES }, pages) === entries, `${row}, x86_32`);
}
assert(NATIVE_ENTRY_BYTES % 4 === 0 && X86_32_ENTRY_BYTES % 4 === 0, 'entries are whole words');
assert(INDIRECT_SEGMENTS_MAX <= INDIRECT_SEGMENTS_PER_PAGE, 'one page holds every segment we take');
