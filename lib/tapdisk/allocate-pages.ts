/** Page-aligned memory for whole chunks, which direct I/O can use as it is. */
import { mapZeroed } from '../../native-bindings/mapping';
import type { MemoryArea } from '../store/memory-area';

/** Zeroed, a whole number of pages; it is kept for as long as the process lives. */
export function allocatePages(lengthBytes: number): MemoryArea {
  return mapZeroed(lengthBytes);
}
