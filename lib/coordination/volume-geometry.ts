/** Which sizes a volume and its chunks may have. */
import { TapdiskError } from '../errors';
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_COUNT_MAX, VOLUME_BYTES_MAX } from './limits';
import { SECTOR_BYTES } from '../sector';

/** Chunks of a volume; the last may be a part of one. */
export function chunkCountOf(sizeBytes: number, chunkBytes: number): number {
  return Math.ceil(sizeBytes / chunkBytes);
}

/** @throws TapdiskError SIZE_NOT_SECTORS, SIZE_TOO_LARGE, CHUNK_SIZE_REFUSED, CHUNKS_TOO_MANY */
export function checkGeometry(sizeBytes: number, chunkBytes: number): void {
  checkSize(sizeBytes);
  checkChunkSize(chunkBytes);
  if (chunkCountOf(sizeBytes, chunkBytes) <= CHUNK_COUNT_MAX) return;
  let enough = chunkBytes;
  while (chunkCountOf(sizeBytes, enough) > CHUNK_COUNT_MAX) enough *= 2;
  throw new TapdiskError(
    'CHUNKS_TOO_MANY',
    `a volume of ${sizeBytes} bytes would have more than ${CHUNK_COUNT_MAX} chunks of ` +
      `${chunkBytes / 1024} KiB; one of that size is made with chunks of at least ` +
      `${enough / 1024} KiB`,
  );
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes > VOLUME_BYTES_MAX) {
    throw new TapdiskError(
      'SIZE_TOO_LARGE',
      `a volume cannot be larger than ${VOLUME_BYTES_MAX} bytes (8 PiB less one sector)`,
    );
  }
  if (Number.isInteger(sizeBytes) && sizeBytes >= SECTOR_BYTES && sizeBytes % SECTOR_BYTES === 0) {
    return;
  }
  const above = Math.max(SECTOR_BYTES, Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES);
  throw new TapdiskError(
    'SIZE_NOT_SECTORS',
    `a volume's size must be a multiple of ${SECTOR_BYTES} bytes, at least one, and ${sizeBytes} ` +
      `is not; ${above} is`,
  );
}

function checkChunkSize(chunkBytes: number): void {
  const isPower = Number.isInteger(Math.log2(chunkBytes));
  if (isPower && chunkBytes >= CHUNK_BYTES_MIN && chunkBytes <= CHUNK_BYTES_MAX) return;
  throw new TapdiskError(
    'CHUNK_SIZE_REFUSED',
    `chunks of ${chunkBytes} bytes are not possible; a chunk is a power of two from 64K to 64M`,
  );
}
