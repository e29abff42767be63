/** A piece of memory that requests point into: a ring's data pages, a socket's buffers. */

/** Memory that outlives every request pointing into it. */
export interface MemoryArea {
  readonly bytes: Buffer;
  /** Virtual address of bytes[0] in this process; 0 where the area is ordinary heap memory. */
  readonly address: number;
}

/** Ordinary heap memory as an area, for the slow paths and for tests. */
export function heapArea(lengthBytes: number): MemoryArea {
  return { bytes: Buffer.alloc(lengthBytes), address: 0 };
}
