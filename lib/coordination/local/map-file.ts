/**
 * The file of a chunk map: one header page, then a u32 (little-endian) a chunk, sparse.
 *
 * Entry i, the layer that owns chunk i, lies at byte 4096 + 4 × i. Holes are zeros: nobody's chunks.
 */
import { crc32 } from 'node:zlib';
import { TapdiskError } from '../../errors';
import { MAP_PAGE_ENTRIES } from '../coordination';
import { MAP_PREALLOCATED_BYTES_MAX, MAP_READ_BYTES } from '../limits';
import { checkMapEntries, layersOf, MAP_ENTRY_BYTES, mapCorrupt } from '../map-entries';
import type { StoredRecord } from '../stored-record';
import { chunkCountOf } from '../volume-geometry';
import type { FileSystem } from './file-system';
import { FILE_MODE } from './layout';
import { UUID_BYTES, uuidToBytes } from './uuid-bytes';

export const MAP_VERSION = 1;
const MAP_MAGIC = 'tdtsmap\0';

export const MAP_HEADER_BYTES = 4096;
const MAP_PAGE_BYTES = MAP_PAGE_ENTRIES * MAP_ENTRY_BYTES;

/** The header's fields, little-endian; the checksum covers everything behind it. */
const AT_MAGIC = 0;
const AT_VERSION = 8;
const AT_CRC = 12;
const AT_UUID = 16;
/** Chunks of the volume when its map was made. */
const AT_CHUNKS = 32;
const AT_ENTRY_BYTES = 40;
const MAP_HEADER_FIELDS_BYTES = 64;

/** Byte of an entry in the file. */
export function mapEntryPosition(chunk: number): number {
  return MAP_HEADER_BYTES + chunk * MAP_ENTRY_BYTES;
}

/** Makes room for so many entries, zeros where there was none; not synced. */
export async function extendMapFile(
  fd: number,
  chunks: number,
  fileSystem: FileSystem,
): Promise<void> {
  const lengthBytes = mapEntryPosition(chunks);
  if ((await fileSystem.size(fd)) < lengthBytes) await fileSystem.truncate(fd, lengthBytes);
  fileSystem.preallocate(fd, Math.min(lengthBytes, MAP_PREALLOCATED_BYTES_MAX));
}

/** Makes the map of a new volume and syncs it; its first entries get their disk blocks. */
export async function createMapFile(
  path: string,
  record: StoredRecord,
  fileSystem: FileSystem,
): Promise<void> {
  const fd = await fileSystem.open(path, 'wx+', FILE_MODE);
  try {
    await extendMapFile(fd, chunkCountOf(record.sizeBytes, record.chunkBytes), fileSystem);
    await fileSystem.write(fd, encodeHeader(record), 0);
    await fileSystem.fsync(fd);
  } finally {
    await fileSystem.close(fd);
  }
}

/** @throws TapdiskError MAP_CORRUPT, MAP_VERSION_UNKNOWN */
export async function checkMapFile(
  fd: number,
  path: string,
  record: StoredRecord,
  fileSystem: FileSystem,
): Promise<void> {
  const header = Buffer.alloc(MAP_HEADER_BYTES);
  await fileSystem.read(fd, header, 0);
  if (header.toString('latin1', AT_MAGIC, AT_VERSION) !== MAP_MAGIC) {
    throw mapCorrupt(path, 'it does not begin as a chunk map does');
  }
  const version = header.readUInt32LE(AT_VERSION);
  if (version !== MAP_VERSION) {
    throw new TapdiskError(
      'MAP_VERSION_UNKNOWN',
      `${path} has format version ${version} and this program knows only ${MAP_VERSION}; ` +
        'use the program that wrote it, or a newer one',
    );
  }
  if (header.readUInt32LE(AT_CRC) !== crc32(header.subarray(AT_UUID, MAP_HEADER_FIELDS_BYTES))) {
    throw mapCorrupt(path, "its header's checksum is wrong");
  }
  if (!header.subarray(AT_UUID, AT_UUID + UUID_BYTES).equals(uuidToBytes(record.uuid))) {
    throw mapCorrupt(path, 'it belongs to another volume');
  }
  const entryBytes = header.readUInt32LE(AT_ENTRY_BYTES);
  if (entryBytes !== MAP_ENTRY_BYTES) {
    throw mapCorrupt(path, `its entries have ${entryBytes} bytes`);
  }
  // Longer is right: room is made before the record says so, and stays where a volume is shrunk.
  const chunks = chunkCountOf(record.sizeBytes, record.chunkBytes);
  const lengthBytes = await fileSystem.size(fd);
  if (lengthBytes < mapEntryPosition(chunks)) {
    throw mapCorrupt(path, `it has ${lengthBytes} bytes, and needs ${mapEntryPosition(chunks)}`);
  }
}

/**
 * Calls `page` for each page with an entry other than 0, in ascending order; holes are skipped
 * unread. `entries` is valid during the call only, and shorter on the last page.
 *
 * @throws TapdiskError MAP_CORRUPT where an entry names a layer that `record` does not have
 */
export async function readMapPages(
  fd: number,
  path: string,
  record: StoredRecord,
  fileSystem: FileSystem,
  page: (pageIndex: number, entries: Uint32Array) => void,
): Promise<void> {
  const end = mapEntryPosition(chunkCountOf(record.sizeBytes, record.chunkBytes));
  const layers = layersOf(record);
  const bytes = Buffer.from(new ArrayBuffer(MAP_READ_BYTES));
  let position = MAP_HEADER_BYTES;
  while (position < end) {
    const data = fileSystem.nextData(fd, position);
    if (data < 0 || data >= end) return;
    // A hole may end within a page where a file system's blocks are small.
    position = data - (data % MAP_PAGE_BYTES);
    const wanted = Math.min(MAP_READ_BYTES, end - position);
    const count = await fileSystem.read(fd, bytes.subarray(0, wanted), position);
    if (count < wanted) throw mapCorrupt(path, `it ends at byte ${position + count}`);
    for (let at = 0; at < wanted; at += MAP_PAGE_BYTES) {
      const entryCount = Math.min(MAP_PAGE_BYTES, wanted - at) / MAP_ENTRY_BYTES;
      const entries = new Uint32Array(bytes.buffer, bytes.byteOffset + at, entryCount);
      const pageIndex = (position + at - MAP_HEADER_BYTES) / MAP_PAGE_BYTES;
      if (checkMapEntries(entries, pageIndex, path, layers)) page(pageIndex, entries);
    }
    position += wanted;
  }
}

function encodeHeader(record: StoredRecord): Buffer {
  const header = Buffer.alloc(MAP_HEADER_BYTES);
  header.write(MAP_MAGIC, AT_MAGIC, 'latin1');
  header.writeUInt32LE(MAP_VERSION, AT_VERSION);
  uuidToBytes(record.uuid).copy(header, AT_UUID);
  header.writeBigUInt64LE(BigInt(chunkCountOf(record.sizeBytes, record.chunkBytes)), AT_CHUNKS);
  header.writeUInt32LE(MAP_ENTRY_BYTES, AT_ENTRY_BYTES);
  header.writeUInt32LE(crc32(header.subarray(AT_UUID, MAP_HEADER_FIELDS_BYTES)), AT_CRC);
  return header;
}
