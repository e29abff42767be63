/** One transfer between memory and one chunk: the only thing that travels below a VBD. */
import type { MemoryArea } from './memory-area';

export const CHUNK_READ = 0;
export const CHUNK_WRITE = 1;

export type ChunkOperation = typeof CHUNK_READ | typeof CHUNK_WRITE;

/** Who is told when a transfer has ended. */
export interface ChunkIoOwner {
  /** Called once for each submitted transfer; `io.errno` is 0 or a positive errno. */
  chunkIoDone(io: ChunkIo): void;
}

/** Pooled and reused: whoever takes one from its pool puts it back when it is done. */
export class ChunkIo {
  operation: ChunkOperation = CHUNK_READ;
  /** Chunk index within the volume. */
  chunk = 0;
  /** Layer that owns the chunk; set by the volume before the store sees it. */
  layer = 0;
  /** First byte within the chunk. */
  offset = 0;
  /** Bytes; never crosses the chunk's end. */
  length = 0;
  memory: MemoryArea = NO_MEMORY;
  /** First byte within `memory`. */
  memoryOffset = 0;
  /** 0 when it succeeded, else a positive errno (5 EIO, 28 ENOSPC, …). */
  errno = 0;
  owner: ChunkIoOwner = NO_OWNER;
  /** For the owner's use: which request this belongs to. */
  tag = 0;
  /** Links free or waiting transfers; whoever holds the transfer owns the link. */
  next: ChunkIo | null = null;
}

const NO_MEMORY: MemoryArea = { bytes: Buffer.alloc(0), address: 0 };
const NO_OWNER: ChunkIoOwner = {
  chunkIoDone() {
    throw new Error('a transfer without an owner ended');
  },
};
