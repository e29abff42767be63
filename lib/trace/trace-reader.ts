/** Reads a trace block by block, and refuses it where it breaks. */
import { open, type FileHandle } from 'node:fs/promises';
import { sentenceOf, TapdiskError } from '../errors';
import { countsForSize, decodeBlock } from './block-codec';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  corrupt,
  decodeBlockHeader,
  decodeEndMarker,
  decodeTraceHeader,
  END_MAGIC,
  END_MARKER_BYTES,
  TRACE_HEADER_BYTES,
  truncated,
  type EndMarker,
  type TraceHeader,
} from './format';
import type { TraceBatch } from './trace-batch';
import type { TraceSource, TraceSummary } from './trace-source';

export class TraceReader implements TraceSource {
  readonly kind = 'tapdisk-ts';

  private constructor(
    readonly path: string,
    readonly header: TraceHeader,
  ) {}

  /** @throws TapdiskError TRACE_NOT_A_TRACE, TRACE_VERSION_UNKNOWN, TRACE_TRUNCATED, TRACE_CORRUPT */
  static async open(path: string): Promise<TraceReader> {
    return withFile(path, async (handle) => {
      const bytes = await readUpTo(handle, TRACE_HEADER_BYTES, 0);
      return new TraceReader(path, decodeTraceHeader(bytes));
    });
  }

  async summary(): Promise<TraceSummary> {
    const end = await withFile(this.path, async (handle) => {
      const { size } = await handle.stat();
      return (await readEndMarker(handle, size)) ?? (await walk(handle));
    });
    return {
      requests: end.records,
      sectorsNeeded: end.sectorsEnd,
      diskSectors: this.header.sectors === 0 ? null : this.header.sectors,
      payload: this.header.payload,
      startedAtMs: this.header.startedAtMs,
      endReason: end.reason,
    };
  }

  async *batches(skip = 0): AsyncIterable<TraceBatch> {
    const handle = await openFile(this.path);
    try {
      for await (const batch of readBlocks(handle, skip)) {
        if ('count' in batch) yield batch;
      }
    } catch (error) {
      throw readFailed(this.path, error);
    } finally {
      await handle.close();
    }
  }
}

/** The end marker where it belongs, or null: then only a walk through the file tells what is wrong. */
async function readEndMarker(handle: FileHandle, sizeBytes: number): Promise<EndMarker | null> {
  const offset = sizeBytes - END_MARKER_BYTES;
  if (offset < TRACE_HEADER_BYTES) return null;
  const bytes = await readUpTo(handle, END_MARKER_BYTES, offset);
  if (bytes.length < END_MARKER_BYTES || bytes.readUInt32LE(0) !== END_MAGIC) return null;
  return decodeEndMarker(bytes, offset);
}

async function walk(handle: FileHandle): Promise<EndMarker> {
  for await (const part of readBlocks(handle, 0)) {
    if (!('count' in part)) return part;
  }
  throw truncated((await handle.stat()).size, 'there is no end marker');
}

/** Yields every block from record `skip` on, and the end marker last. */
async function* readBlocks(
  handle: FileHandle,
  skip: number,
): AsyncGenerator<TraceBatch | EndMarker> {
  let offset = TRACE_HEADER_BYTES;
  let records = 0;
  let sectorsEnd = 0;
  for (;;) {
    const head = await readUpTo(handle, BLOCK_HEADER_BYTES, offset);
    if (head.length < BLOCK_HEADER_BYTES) {
      throw truncated(offset + head.length, `it has ${records} whole records and no end marker`);
    }
    const magic = head.readUInt32LE(0);
    if (magic === END_MAGIC) {
      const marker = decodeEndMarker(head, offset);
      await checkEnd(handle, marker, offset, records, sectorsEnd);
      yield marker;
      return;
    }
    if (magic !== BLOCK_MAGIC) throw corrupt(offset, 'neither a block nor the end marker is here');
    const header = decodeBlockHeader(head, offset);
    if (header.firstRecord !== records) {
      throw corrupt(
        offset + 16,
        `the block begins with record ${header.firstRecord} where record ${records} is due`,
      );
    }
    const bytesOffset = offset + BLOCK_HEADER_BYTES;
    const bytes = await readUpTo(handle, header.lengthBytes, bytesOffset);
    if (bytes.length < header.lengthBytes) {
      throw truncated(
        bytesOffset + bytes.length,
        `a block of ${header.records} records is cut off`,
      );
    }
    const batch = decodeBlock(bytes, header, bytesOffset);
    for (let i = 0; i < batch.count; i++) {
      if (countsForSize(batch.status[i], batch.sectorCount[i])) {
        sectorsEnd = Math.max(sectorsEnd, batch.sector[i] + batch.sectorCount[i]);
      }
    }
    if (records + batch.count > skip) {
      batch.start = Math.max(0, skip - records);
      yield batch;
    }
    records += batch.count;
    offset = bytesOffset + header.lengthBytes;
  }
}

async function checkEnd(
  handle: FileHandle,
  marker: EndMarker,
  offset: number,
  records: number,
  sectorsEnd: number,
): Promise<void> {
  if (marker.records !== records || marker.sectorsEnd !== sectorsEnd) {
    throw corrupt(
      offset + 8,
      `the end marker counts ${marker.records} records up to sector ${marker.sectorsEnd}, and ${records} up to sector ${sectorsEnd} are there`,
    );
  }
  const beyond = await readUpTo(handle, 1, offset + END_MARKER_BYTES);
  if (beyond.length > 0) {
    throw corrupt(offset + END_MARKER_BYTES, 'the file goes on after its end marker');
  }
}

/** Reads `lengthBytes`, fewer only at the end of the file. */
async function readUpTo(
  handle: FileHandle,
  lengthBytes: number,
  position: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(lengthBytes);
  let done = 0;
  while (done < lengthBytes) {
    const { bytesRead } = await handle.read(bytes, done, lengthBytes - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function withFile<T>(path: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await openFile(path);
  try {
    return await work(handle);
  } catch (error) {
    throw readFailed(path, error);
  } finally {
    await handle.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw readFailed(path, error);
  }
}

/** Names the file; a refusal of its content keeps its own code. */
export function readFailed(path: string, error: unknown): TapdiskError {
  if (!(error instanceof TapdiskError)) {
    return new TapdiskError(
      'TRACE_READ_FAILED',
      `cannot read trace ${path}: ${sentenceOf(error)}`,
      {
        cause: error,
      },
    );
  }
  return error.message.startsWith(path)
    ? error
    : new TapdiskError(error.code, `${path}: ${error.message}`, { cause: error.cause });
}
