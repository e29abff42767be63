/**
 * The directory store: chunks packed into large sparse extent files, one series a layer.
 *
 * Chunk i of a layer lies at byte i × chunkBytes of the layer, so there is no allocation table to
 * lose: what was never written is a hole. A write is acknowledged when the kernel has it (with
 * O_DIRECT: the device); sync is fdatasync of every extent file written since the last one.
 */
import { rm, statfs, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { constants as osConstants } from 'node:os';
import { assert } from '../../assert';
import { TapdiskError, errnoOf, sentenceOf } from '../../errors';
import type { IoEngine } from '../../../native-bindings/io-engine';
import type { Fence } from '../../fence';
import { SyncGate } from '../../sync-gate';
import type { ChunkIo } from '../chunk-io';
import type { ChunkStore, ErrnoCallback } from '../chunk-store';
import { EXTENT_BYTES } from '../limits';
import { directAlignmentBytes } from './direct-alignment';
import { type ExtentFile, ExtentFiles } from './extent-files';
import { layerDirectory } from './extent-path';
import { settleLayerFiles } from './settle-layer';
import { numberOf, Transfers } from './transfers';
import { ZeroWriter } from './zero-writer';

const { EOPNOTSUPP } = osConstants.errno;
const STAT_BLOCK_BYTES = 512;

/** Which I/O engine calls back when transfers end. */
export type OpenEngine = (
  onCompletion: (token: number, result: number) => void,
  onBatchEnd: () => void,
) => IoEngine;

export interface DirStoreOptions {
  readonly directory: string;
  readonly chunkBytes: number;
  readonly readOnly: boolean;
  /** Ask for O_DIRECT (the default); file systems that refuse it are used through the page cache. */
  readonly direct: boolean;
  readonly openEngine: OpenEngine;
}

export class DirStore implements ChunkStore {
  readonly kind = 'dir';
  readonly chunkBytes: number;
  onBatchEnd: () => void = () => {};

  private readonly files: ExtentFiles;
  readonly engine: IoEngine;
  private readonly transfers: Transfers;
  private canPunch = true;
  private readonly syncGate = new SyncGate(
    (done) => this.syncWritten(done),
    () => this.onBatchEnd(),
  );

  constructor(private readonly options: DirStoreOptions) {
    this.chunkBytes = options.chunkBytes;
    const { directory, direct, readOnly } = options;
    this.engine = options.openEngine(
      (token, result) => this.transfers.completed(token, result),
      () => this.batchEnded(),
    );
    this.files = new ExtentFiles(directory, direct, readOnly, this.engine);
    const alignmentMask = directAlignmentBytes(directory) - 1;
    const { engine, files, chunkBytes } = this;
    this.transfers = new Transfers(engine, files, chunkBytes, alignmentMask, () => this.kick());
  }

  submit(io: ChunkIo): void {
    this.transfers.submit(io);
  }

  kick(): void {
    this.transfers.kick();
    if (this.transfers.anyEnded) {
      this.transfers.tellEnded();
      this.onBatchEnd();
    }
  }

  fenceBy(fence: Fence): void {
    this.transfers.fenceBy(fence);
  }

  sync(done: ErrnoCallback): void {
    this.syncGate.flush(done);
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    const at = chunk * this.chunkBytes + offset;
    const extent = Math.floor(at / EXTENT_BYTES);
    const position = at - extent * EXTENT_BYTES;
    const later = (errno: number): void => {
      setImmediate(() => {
        done(errno);
        this.onBatchEnd();
      });
    };
    let file: ExtentFile | null;
    try {
      file = this.files.find(layer, extent, false);
    } catch (error) {
      return later(numberOf(error));
    }
    if (file === null || position >= file.sizeBytes) return later(0);
    const target = file;
    const writeZeros = (): void => this.writeZeros(target, layer, chunk, offset, length, done);
    if (!this.canPunch) return writeZeros();
    this.transfers.control(
      target,
      (token) => this.engine.punch(target.fd, position, length, token),
      (errno) => {
        target.dirty = true;
        if (errno !== EOPNOTSUPP) return done(errno);
        this.canPunch = false;
        writeZeros();
      },
    );
    this.engine.submit();
  }

  async settleLayer(layer: number): Promise<void> {
    try {
      await settleLayerFiles(this.options.directory, layer);
    } catch (error) {
      throw new TapdiskError(
        'LAYER_NOT_SETTLED',
        `what was last written to ${layerDirectory(this.options.directory, layer)} cannot be ` +
          `made durable: ${sentenceOf(error)}; check the disk, then attach the volume again`,
        { cause: error },
      );
    }
  }

  async deleteLayer(layer: number): Promise<void> {
    this.files.closeLayer(layer);
    await rm(layerDirectory(this.options.directory, layer), { recursive: true, force: true });
  }

  async usedBytes(layer: number): Promise<number> {
    return layerUsedBytes(this.options.directory, layer);
  }

  describe(): Readonly<Record<string, unknown>> {
    const files = [...this.files.all()];
    return {
      kind: this.kind,
      engine: this.engine.kind,
      engineReason: this.engine.reason,
      direct: this.options.direct && files.every((file) => file.isDirect),
      openFiles: files.length,
    };
  }

  async close(): Promise<void> {
    assert(this.transfers.isIdle, 'a store is closed when idle');
    this.files.closeAll();
    this.engine.close();
  }

  private syncWritten(done: ErrnoCallback): void {
    let pending = 1;
    let errno = 0;
    const oneDone = (result: number): void => {
      if (result !== 0) errno = result;
      if (--pending === 0) done(errno);
    };
    for (const file of this.files.all()) {
      if (file.syncErrno !== 0) errno = file.syncErrno;
      if (!file.dirty) continue;
      pending++;
      file.dirty = false;
      this.transfers.control(
        file,
        (token) => this.engine.datasync(file.fd, token),
        (result) => {
          // The kernel forgets dirty pages that it failed to write: no later sync can vouch for them.
          if (result !== 0) file.syncErrno = result;
          oneDone(result);
        },
      );
    }
    this.engine.submit();
    setImmediate(() => oneDone(0));
  }

  private batchEnded(): void {
    this.transfers.tellEnded();
    this.onBatchEnd();
    this.transfers.kick();
  }

  private writeZeros(
    file: ExtentFile,
    layer: number,
    chunk: number,
    offset: number,
    length: number,
    done: ErrnoCallback,
  ): void {
    const chunkStart = chunk * this.chunkBytes - file.extent * EXTENT_BYTES;
    const end = Math.min(offset + length, file.sizeBytes - chunkStart);
    const submit = (io: ChunkIo): void => {
      this.transfers.submitLater(io);
      this.transfers.kick();
      if (this.transfers.anyEnded) setImmediate(() => this.kick());
    };
    new ZeroWriter(submit, layer, chunk, offset, end, done).start();
  }
}

/** Bytes that the file system gave to a layer's extent files. */
export async function layerUsedBytes(directory: string, layer: number): Promise<number> {
  const path = layerDirectory(directory, layer);
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(path, name))).blocks * STAT_BLOCK_BYTES;
  return bytes;
}

/** Bytes free for an ordinary user in a store's file system. */
export async function storeFreeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch (error) {
    throw new TapdiskError(
      'STORE_UNREADABLE',
      `store directory ${directory} cannot be read: ${sentenceOf(error)}; check the mount`,
      { cause: error },
    );
  }
}
