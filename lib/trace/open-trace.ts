/** Opens a trace of any known kind, told by its content. */
import { open } from 'node:fs/promises';
import { constants, createGunzip } from 'node:zlib';
import { TapdiskError } from '../errors';
import { decodeTraceHeader, TRACE_MAGIC } from './format';
import { BlkreplayTrace, looksLikeBlkreplay } from './import-blkreplay';
import { SNIFF_BYTES } from './limits';
import { readFailed, TraceReader } from './trace-reader';
import type { TraceSource } from './trace-source';

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

/**
 * @throws TapdiskError TRACE_NOT_A_TRACE, TRACE_VERSION_UNKNOWN, TRACE_TRUNCATED, TRACE_CORRUPT,
 *   TRACE_READ_FAILED
 */
export async function openTrace(path: string): Promise<TraceSource> {
  const beginning = await readBeginning(path);
  if (beginning.subarray(0, TRACE_MAGIC.length).equals(TRACE_MAGIC)) return TraceReader.open(path);
  const compressed = beginning.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC);
  const text = compressed ? await gunzipBeginning(beginning) : beginning;
  if (compressed && text.subarray(0, TRACE_MAGIC.length).equals(TRACE_MAGIC)) {
    throw new TapdiskError(
      'TRACE_NOT_A_TRACE',
      `${path} is a tapdisk-ts trace inside a gzip file: gunzip it first`,
    );
  }
  if (looksLikeBlkreplay(text.toString('latin1'))) return new BlkreplayTrace(path, compressed);
  try {
    decodeTraceHeader(beginning);
  } catch (error) {
    throw readFailed(path, error);
  }
  throw new TapdiskError('TRACE_NOT_A_TRACE', `${path} is not a trace`);
}

async function readBeginning(path: string): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      const bytes = Buffer.alloc(SNIFF_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, SNIFF_BYTES, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw readFailed(path, error);
  }
}

/** What can be decompressed of a file's beginning, at most SNIFF_BYTES; empty where nothing can. */
function gunzipBeginning(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    const parts: Buffer[] = [];
    let length = 0;
    const finish = (): void => {
      gunzip.destroy();
      resolve(Buffer.concat(parts).subarray(0, SNIFF_BYTES));
    };
    gunzip.on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length >= SNIFF_BYTES) finish();
    });
    gunzip.on('end', finish);
    gunzip.on('error', finish);
    gunzip.end(bytes);
  });
}
