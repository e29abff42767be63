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
import { SyncGate } from '../../sync-gate';
import { CHUNK_READ, CHUNK_WRITE, type ChunkIo } from '../chunk-io';
import type { ChunkStore, ErrnoCallback } from '../chunk-store';
import { IoQueue } from '../io-queue';
import { EXTENT_BYTES, TRANSFERS_IN_FLIGHT_MAX } from '../limits';
import type { MemoryArea } from '../memory-area';
import { directAlignmentBytes } from './direct-alignment';
import { type ExtentFile, ExtentFiles } from './extent-files';
import { layerDirectory } from './extent-path';
import { settleLayerFiles } from './settle-layer';
import { ZeroWriter } from './zero-writer';

const { EIO, EINVAL, EAGAIN, EINTR, EOPNOTSUPP, EROFS } = osConstants.errno;
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

/** A slot of the engine's token space: what is in flight and how far it has come. */
class Transfer {
  io: ChunkIo | null = null;
  callback: ErrnoCallback | null = null;
  file: ExtentFile | null = null;
  /** Of the current attempt: a direct transfer that is refused is tried once more, buffered. */
  isDirect = false;
  doneBytes = 0;
}

/** A sync or punch that waits for a token. */
interface Control {
  readonly file: ExtentFile;
  readonly start: (token: number) => void;
  readonly done: ErrnoCallback;
}

export class DirStore implements ChunkStore {
  readonly kind = 'dir';
  readonly chunkBytes: number;
  onBatchEnd: () => void = () => {};

  private readonly files: ExtentFiles;
  readonly engine: IoEngine;
  private readonly alignmentMask: number;
  private readonly transfers: Transfer[] = [];
  private readonly freeTokens: number[] = [];
  private readonly waiting = new IoQueue();
  /** Ended without the engine: reads of holes, and what could not be started. */
  private readonly ended = new IoQueue();
  private lastArea: MemoryArea | null = null;
  private lastAreaIsAligned = false;
  private canPunch = true;
  private readonly waitingControls: Control[] = [];
  private readonly syncGate = new SyncGate(
    (done) => this.syncWritten(done),
    () => this.onBatchEnd(),
  );

  constructor(private readonly options: DirStoreOptions) {
    this.chunkBytes = options.chunkBytes;
    this.files = new ExtentFiles(options.directory, options.direct, options.readOnly);
    this.alignmentMask = directAlignmentBytes(options.directory) - 1;
    for (let token = 0; token < TRANSFERS_IN_FLIGHT_MAX; token++) {
      this.transfers.push(new Transfer());
      this.freeTokens.push(TRANSFERS_IN_FLIGHT_MAX - 1 - token);
    }
    this.engine = options.openEngine(
      (token, result) => this.completed(token, result),
      () => this.batchEnded(),
    );
  }

  submit(io: ChunkIo): void {
    assert(io.offset + io.length <= this.chunkBytes, 'a transfer stays within its chunk');
    const token = this.freeTokens.pop();
    if (token === undefined) this.waiting.push(io);
    else this.begin(token, io);
  }

  kick(): void {
    this.engine.submit();
    if (!this.ended.isEmpty) {
      this.drainEnded();
      this.onBatchEnd();
    }
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
    this.control(
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
    assert(this.freeTokens.length === TRANSFERS_IN_FLIGHT_MAX, 'a store is closed when idle');
    this.engine.close();
    this.files.closeAll();
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
      this.control(
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

  private begin(token: number, io: ChunkIo): void {
    const at = io.chunk * this.chunkBytes + io.offset;
    const extent = Math.floor(at / EXTENT_BYTES);
    const transfer = this.transfers[token];
    let file: ExtentFile | null;
    try {
      file = this.files.find(io.layer, extent, io.operation === CHUNK_WRITE);
    } catch (error) {
      this.freeTokens.push(token);
      io.errno = numberOf(error);
      return this.ended.push(io);
    }
    if (file === null) {
      this.freeTokens.push(token);
      io.memory.bytes.fill(0, io.memoryOffset, io.memoryOffset + io.length);
      io.errno = 0;
      return this.ended.push(io);
    }
    transfer.io = io;
    transfer.file = file;
    transfer.isDirect = file.isDirect && this.isAligned(io);
    transfer.doneBytes = 0;
    file.inFlight++;
    this.attempt(token, transfer, io, file);
  }

  /** Ends a transfer that the engine does not have. */
  private endEarly(token: number, transfer: Transfer, io: ChunkIo, errno: number): void {
    if (transfer.file !== null) transfer.file.inFlight--;
    io.errno = errno;
    this.ended.push(io);
    this.freeToken(token, transfer);
  }

  /** Gives what is left of a transfer to the engine. */
  private attempt(token: number, transfer: Transfer, io: ChunkIo, file: ExtentFile): void {
    const done = transfer.doneBytes;
    const position = (io.chunk * this.chunkBytes + io.offset + done) % EXTENT_BYTES;
    let fd = file.fd;
    if (!transfer.isDirect) {
      try {
        fd = file.buffered();
      } catch (error) {
        return this.endEarly(token, transfer, io, numberOf(error));
      }
    }
    if (io.operation === CHUNK_READ) {
      this.engine.read(fd, io.memory, io.memoryOffset + done, io.length - done, position, token);
    } else {
      this.engine.write(fd, io.memory, io.memoryOffset + done, io.length - done, position, token);
    }
  }

  private isAligned(io: ChunkIo): boolean {
    if (io.memory !== this.lastArea) {
      this.lastArea = io.memory;
      const { address } = io.memory;
      this.lastAreaIsAligned = address !== 0 && address % (this.alignmentMask + 1) === 0;
    }
    return (
      this.lastAreaIsAligned &&
      ((io.offset | io.length | io.memoryOffset) & this.alignmentMask) === 0
    );
  }

  private completed(token: number, result: number): void {
    const transfer = this.transfers[token];
    const { io, file } = transfer;
    assert(file !== null, 'a completion belongs to a transfer');
    if (io === null) return this.controlCompleted(token, transfer, file, result);
    if (result === -EAGAIN || result === -EINTR) return this.attempt(token, transfer, io, file);
    if (result === -EINVAL && transfer.isDirect) {
      transfer.isDirect = false;
      return this.attempt(token, transfer, io, file);
    }
    let errno = result < 0 ? -result : 0;
    if (result >= 0) {
      transfer.doneBytes += result;
      if (transfer.doneBytes < io.length) {
        if (result > 0) {
          transfer.isDirect = false;
          return this.attempt(token, transfer, io, file);
        }
        if (io.operation === CHUNK_READ) {
          const from = io.memoryOffset + transfer.doneBytes;
          io.memory.bytes.fill(0, from, io.memoryOffset + io.length);
        } else {
          errno = EIO;
        }
      }
    }
    if (io.operation === CHUNK_WRITE) this.noteWritten(file, io);
    file.inFlight--;
    this.freeToken(token, transfer);
    io.errno = errno;
    io.owner.chunkIoDone(io);
  }

  /** Also after a failed write: part of it may be there. */
  private noteWritten(file: ExtentFile, io: ChunkIo): void {
    file.dirty = true;
    const end = ((io.chunk * this.chunkBytes + io.offset) % EXTENT_BYTES) + io.length;
    if (end > file.sizeBytes) file.sizeBytes = end;
  }

  private freeToken(token: number, transfer: Transfer): void {
    transfer.io = null;
    transfer.file = null;
    transfer.callback = null;
    this.freeTokens.push(token);
    this.startWaiting();
  }

  /** Syncs and punches first: however many transfers keep coming, they have their turn. */
  private startWaiting(): void {
    for (let token = this.freeTokens.pop(); token !== undefined; token = this.freeTokens.pop()) {
      const control = this.waitingControls.length > 0 ? this.waitingControls.shift() : undefined;
      if (control !== undefined) {
        this.beginControl(token, control);
        continue;
      }
      const io = this.waiting.shift();
      if (io === null) {
        this.freeTokens.push(token);
        return;
      }
      // Where it ends at once, its token is free again and the next one takes it.
      this.begin(token, io);
    }
  }

  private batchEnded(): void {
    this.drainEnded();
    this.onBatchEnd();
    this.engine.submit();
  }

  private drainEnded(): void {
    for (let io = this.ended.shift(); io !== null; io = this.ended.shift()) {
      io.owner.chunkIoDone(io);
    }
  }

  /** A sync or punch: as a transfer, but answered by callback. */
  private control(file: ExtentFile, start: (token: number) => void, done: ErrnoCallback): void {
    // While it waits too: a descriptor that is used later must not be closed now.
    file.inFlight++;
    const token = this.freeTokens.pop();
    if (token === undefined) this.waitingControls.push({ file, start, done });
    else this.beginControl(token, { file, start, done });
  }

  private beginControl(token: number, { file, start, done }: Control): void {
    const transfer = this.transfers[token];
    transfer.file = file;
    transfer.callback = done;
    start(token);
  }

  private controlCompleted(
    token: number,
    transfer: Transfer,
    file: ExtentFile,
    result: number,
  ): void {
    const { callback } = transfer;
    assert(callback !== null, 'a control operation has a callback');
    // The callback may go on with the file, so it is held until then.
    callback(result < 0 ? -result : 0);
    file.inFlight--;
    this.freeToken(token, transfer);
  }

  private writeZeros(
    file: ExtentFile,
    layer: number,
    chunk: number,
    offset: number,
    length: number,
    done: ErrnoCallback,
  ): void {
    const chunkStart = (chunk * this.chunkBytes) % EXTENT_BYTES;
    const end = Math.min(offset + length, file.sizeBytes - chunkStart);
    const submit = (io: ChunkIo): void => {
      this.submit(io);
      this.engine.submit();
      if (!this.ended.isEmpty) setImmediate(() => this.kick());
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

function numberOf(error: unknown): number {
  const name = errnoOf(error);
  if (name === 'EROFS') return EROFS;
  return (osConstants.errno as Record<string, number>)[name ?? ''] ?? EIO;
}
