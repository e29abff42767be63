/** A trace being written: whole blocks one after another, and an end marker that closes it. */
import { open } from 'node:fs/promises';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import {
  encodeEndMarker,
  encodeTraceHeader,
  TRACE_HEADER_BYTES,
  type EndReason,
  type TraceHeader,
} from './format';
import type { BlockEncoder } from './block-codec';

/** Owner only: a trace with payloads holds what the guest wrote. */
const TRACE_FILE_MODE = 0o600;

/** What of a file handle a trace needs. */
export interface TraceFileHandle {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }>;
  truncate(lengthBytes: number): Promise<void>;
  close(): Promise<void>;
}

export type OpenTraceFile = (path: string, flags: 'wx', mode: number) => Promise<TraceFileHandle>;

export class TraceFile {
  /** Records of the blocks that are written whole. */
  records = 0;
  private sectorsEnd = 0;
  private endBytes = TRACE_HEADER_BYTES;

  private constructor(
    readonly path: string,
    private readonly handle: TraceFileHandle,
  ) {}

  /**
   * Makes the file; an existing one is never overwritten.
   * @throws TapdiskError TRACE_EXISTS, TRACE_WRITE_FAILED
   */
  static async create(
    path: string,
    header: TraceHeader,
    openFile: OpenTraceFile = open,
  ): Promise<TraceFile> {
    let handle: TraceFileHandle;
    try {
      handle = await openFile(path, 'wx', TRACE_FILE_MODE);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') {
        throw new TapdiskError(
          'TRACE_EXISTS',
          `trace ${path} exists already: choose another name, or remove it first`,
        );
      }
      throw writeFailed(path, error);
    }
    const file = new TraceFile(path, handle);
    try {
      await file.writeAll(encodeTraceHeader(header), 0);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return file;
  }

  /** Appends a finished block. After a failure, only `finish` may follow. */
  async writeBlock(block: BlockEncoder): Promise<void> {
    const bytes = block.finish(this.records);
    await this.writeAll(bytes, this.endBytes);
    this.endBytes += bytes.length;
    this.records += block.records;
    this.sectorsEnd = Math.max(this.sectorsEnd, block.sectorsEnd);
  }

  /**
   * Cuts off what is not a whole block, writes the end marker and closes the file, so that what
   * was recorded before a failure can be read. Cutting frees the room that the marker needs.
   */
  async finish(reason: EndReason): Promise<void> {
    try {
      await this.handle.truncate(this.endBytes);
      const marker = encodeEndMarker({
        reason,
        records: this.records,
        sectorsEnd: this.sectorsEnd,
      });
      await this.writeAll(marker, this.endBytes);
    } catch (error) {
      throw error instanceof TapdiskError ? error : writeFailed(this.path, error);
    } finally {
      await this.handle.close();
    }
  }

  private async writeAll(bytes: Buffer, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.handle.write(
          bytes,
          done,
          bytes.length - done,
          position + done,
        );
        done += bytesWritten;
      }
    } catch (error) {
      throw writeFailed(this.path, error);
    }
  }
}

function writeFailed(path: string, error: unknown): TapdiskError {
  return new TapdiskError(
    'TRACE_WRITE_FAILED',
    `cannot write trace ${path}: ${sentenceOf(error)}; see that its directory exists, is writable and has room`,
    { cause: error },
  );
}
