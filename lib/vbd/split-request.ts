/** Cuts a request into transfers: one for each contiguous run of memory within one chunk. */
import { SECTOR_BYTES } from '../sector';
import { CHUNK_READ, CHUNK_WRITE, type ChunkIoOwner } from '../store/chunk-io';
import type { Volume } from '../volume/volume';
import { REQUEST_READ, type VbdRequest } from './request';
import type { TransferPool } from './transfer-pool';

/** Most transfers a request can need: each run, and each chunk boundary crossed, begins one. */
export function transfersNeeded(request: VbdRequest, chunkBytes: number): number {
  const bytes = request.sectorCount * SECTOR_BYTES;
  return request.runCount + Math.ceil(bytes / chunkBytes);
}

/** Submits the transfers of a read or write and returns how many there were. */
export function splitRequest(
  request: VbdRequest,
  volume: Volume,
  transfers: TransferPool,
  owner: ChunkIoOwner,
): number {
  const { chunkBytes } = volume;
  const operation = request.operation === REQUEST_READ ? CHUNK_READ : CHUNK_WRITE;
  const start = request.sector * SECTOR_BYTES;
  let chunk = Math.floor(start / chunkBytes);
  let offset = start - chunk * chunkBytes;
  let count = 0;
  for (let run = 0; run < request.runCount; run++) {
    let memoryOffset = request.runOffsets[run];
    let left = request.runLengths[run];
    while (left > 0) {
      const io = transfers.take();
      const length = Math.min(left, chunkBytes - offset);
      io.operation = operation;
      io.chunk = chunk;
      io.offset = offset;
      io.length = length;
      io.memory = request.memory;
      io.memoryOffset = memoryOffset;
      io.errno = 0;
      io.owner = owner;
      io.tag = request.slot;
      volume.submit(io);
      count++;
      left -= length;
      memoryOffset += length;
      offset += length;
      if (offset === chunkBytes) {
        chunk++;
        offset = 0;
      }
    }
  }
  return count;
}
