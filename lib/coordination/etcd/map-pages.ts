/**
 * One key for each page of a chunk map: a header, then the page's entries as they are in memory.
 *
 * A key is there once an entry of its page was written, and stays as long as the volume, so that
 * what was changed since a revision is found by reading the keys changed since.
 */
import { crc32 } from 'node:zlib';
import { TapdiskError } from '../../errors';
import { prefixEnd, type KeyValue, type Range } from '../../etcd/etcd';
import { MAP_PAGE_ENTRIES } from '../coordination';
import { MAP_ENTRY_BYTES, mapCorrupt } from '../map-entries';
import type { StoredRecord } from '../stored-record';
import { chunkCountOf } from '../volume-geometry';
import { mapPageIndexOf, mapPrefix } from './keys';
import { PAGES_PER_RANGE } from './limits';

export const MAP_PAGE_VERSION = 1;
const MAP_PAGE_MAGIC = 'tdtp';

/** The header's fields, little-endian; the checksum covers everything behind it. */
const AT_MAGIC = 0;
const AT_VERSION = 4;
const AT_CRC = 8;
const AT_PAGE = 12;
const HEADER_BYTES = 16;

/** A page as etcd has it: as long as it was written, and the volume may have been resized since. */
export interface MapPage {
  readonly pageIndex: number;
  readonly entries: Uint32Array;
  readonly modRevision: number;
}

/**
 * A page's entries, copied, as many as it has in a volume of this record: fewer only in the last page
 * of a map, none in those behind it. Chunks that it was too short for were never written.
 */
export function entriesFor({ pageIndex, entries }: MapPage, record: StoredRecord): Uint32Array {
  const chunks = chunkCountOf(record.sizeBytes, record.chunkBytes);
  const count = Math.min(MAP_PAGE_ENTRIES, chunks - pageIndex * MAP_PAGE_ENTRIES);
  const fitted = new Uint32Array(Math.max(0, count));
  fitted.set(entries.subarray(0, fitted.length));
  return fitted;
}

export function encodeMapPage(pageIndex: number, entries: Uint32Array): Buffer {
  const page = Buffer.alloc(HEADER_BYTES + entries.byteLength);
  page.write(MAP_PAGE_MAGIC, AT_MAGIC, 'latin1');
  page.writeUInt32LE(MAP_PAGE_VERSION, AT_VERSION);
  page.writeUInt32LE(pageIndex, AT_PAGE);
  page.set(new Uint8Array(entries.buffer, entries.byteOffset, entries.byteLength), HEADER_BYTES);
  page.writeUInt32LE(crc32(page.subarray(AT_PAGE)), AT_CRC);
  return page;
}

/** @throws TapdiskError MAP_CORRUPT, MAP_VERSION_UNKNOWN */
export function decodeMapPage(keyValue: KeyValue, uuid: string): MapPage {
  const { key, value, modRevision } = keyValue;
  const path = `etcd key ${key}`;
  if (
    value.length < HEADER_BYTES ||
    value.toString('latin1', AT_MAGIC, AT_VERSION) !== MAP_PAGE_MAGIC
  ) {
    throw mapCorrupt(path, 'it does not begin as a page of a chunk map does');
  }
  const version = value.readUInt32LE(AT_VERSION);
  if (version !== MAP_PAGE_VERSION) {
    throw new TapdiskError(
      'MAP_VERSION_UNKNOWN',
      `${path} has format version ${version} and this program knows only ${MAP_PAGE_VERSION}; ` +
        'use the program that wrote it, or a newer one',
    );
  }
  if (value.readUInt32LE(AT_CRC) !== crc32(value.subarray(AT_PAGE))) {
    throw mapCorrupt(path, 'its checksum is wrong');
  }
  const pageIndex = mapPageIndexOf(key, uuid);
  if (value.readUInt32LE(AT_PAGE) !== pageIndex) {
    throw mapCorrupt(path, `it is page ${value.readUInt32LE(AT_PAGE)}`);
  }
  const count = (value.length - HEADER_BYTES) / MAP_ENTRY_BYTES;
  if (!Number.isInteger(count) || count < 1 || count > MAP_PAGE_ENTRIES) {
    throw mapCorrupt(path, `it has ${value.length} bytes`);
  }
  // Copied, since what the reply's memory is aligned to is not known.
  const entries = new Uint32Array(count);
  value.copy(new Uint8Array(entries.buffer), 0, HEADER_BYTES);
  return { pageIndex, entries, modRevision };
}

/** Every page of a volume, or those changed at `minModRevision` or later. */
export function mapRange(
  uuid: string,
  minModRevision?: number,
): Range & { readonly rangeEnd: string; readonly limit: number } {
  const key = mapPrefix(uuid);
  const range = { key, rangeEnd: prefixEnd(key), limit: PAGES_PER_RANGE };
  return minModRevision === undefined ? range : { ...range, minModRevision };
}
