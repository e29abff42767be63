/** Writes a trace from a program that can wait: synthesized and imported traces. */
import { assert } from '../assert';
import { BlockEncoder } from './block-codec';
import type { TraceHeader } from './format';
import { BLOCK_BUFFER_BYTES, BLOCK_BUFFER_PAYLOAD_BYTES } from './limits';
import { TraceFile } from './trace-file';
import type { TraceRecord } from './trace-record';

export class TraceWriter {
  private readonly block: BlockEncoder;

  private constructor(
    private readonly file: TraceFile,
    header: TraceHeader,
  ) {
    const lengthBytes = header.payload === 'full' ? BLOCK_BUFFER_PAYLOAD_BYTES : BLOCK_BUFFER_BYTES;
    this.block = new BlockEncoder(Buffer.allocUnsafe(lengthBytes));
  }

  /** @throws TapdiskError TRACE_EXISTS, TRACE_WRITE_FAILED */
  static async create(path: string, header: TraceHeader): Promise<TraceWriter> {
    return new TraceWriter(await TraceFile.create(path, header), header);
  }

  /** Appends a record; the caller may reuse it at once. */
  async write(record: TraceRecord): Promise<void> {
    if (this.block.append(record)) return;
    await this.flushBlock();
    assert(this.block.append(record), 'an empty block has room for any record');
  }

  /** Completes the file; resolves to the number of records. */
  async close(): Promise<number> {
    if (this.block.records > 0) await this.flushBlock();
    await this.file.finish('stopped');
    return this.file.records;
  }

  private async flushBlock(): Promise<void> {
    await this.file.writeBlock(this.block);
    this.block.reset();
  }
}
