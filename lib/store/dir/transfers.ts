/** What of a directory store is with its I/O engine, or waits for it: transfers, syncs, punches. */
import { constants as osConstants } from 'node:os';
import { assert } from '../../assert';
import { errnoOf } from '../../errors';
import { type Fence, FENCE_LOST, FENCE_OPEN, type FenceState } from '../../fence';
import type { IoEngine } from '../../../native-bindings/io-engine';
import { CHUNK_READ, CHUNK_WRITE, type ChunkIo } from '../chunk-io';
import type { ErrnoCallback } from '../chunk-store';
import { IoQueue } from '../io-queue';
import {
  EXTENT_BYTES,
  INTERRUPTION_RETRY_MS,
  INTERRUPTIONS_MAX,
  TRANSFERS_IN_FLIGHT_MAX,
} from '../limits';
import type { MemoryArea } from '../memory-area';
import type { ExtentFile, ExtentFiles } from './extent-files';
import { Transfer } from './transfer';

const { EIO, EINVAL, EAGAIN, EINTR, ECANCELED, EROFS } = osConstants.errno;

/** A sync or punch that waits for a token. */
interface Control {
  readonly file: ExtentFile;
  readonly start: (token: number) => void;
  readonly done: ErrnoCallback;
}

/**
 * Gives transfers to the engine by token, neighbours together, and sees them through: short ones go
 * on, those that direct I/O refuses are tried buffered, those that failed together singly.
 */
export class Transfers {
  private readonly transfers: Transfer[] = [];
  private readonly freeTokens: number[] = [];
  /** What was submitted last, and may go on with what is submitted next: not the engine's yet. */
  private open: Transfer | null = null;
  private readonly waiting = new IoQueue();
  private readonly waitingControls: Control[] = [];
  /** Ended without the engine: reads of holes, and what could not be started. */
  private readonly ended = new IoQueue();
  private tokensMax = TRANSFERS_IN_FLIGHT_MAX;
  private fence: Fence | null = null;
  /** Something waits for the fence, and not for a token. */
  private isHeld = false;
  private lastArea: MemoryArea | null = null;
  private lastAreaIsAligned = false;

  /** `alignmentMask`: the bits that must be 0 of what direct I/O moves. */
  constructor(
    private readonly engine: IoEngine,
    private readonly files: ExtentFiles,
    private readonly chunkBytes: number,
    private readonly alignmentMask: number,
    /** Hands over, and tells what has ended: the store's own `kick`. */
    private readonly handOver: () => void,
  ) {
    for (let token = 0; token < TRANSFERS_IN_FLIGHT_MAX; token++) {
      this.transfers.push(new Transfer(token));
      this.freeTokens.push(TRANSFERS_IN_FLIGHT_MAX - 1 - token);
    }
  }

  get isIdle(): boolean {
    return this.freeTokens.length === this.tokensMax && !this.isHeld;
  }

  /** Whether some have ended without the engine, and are to be told. */
  get anyEnded(): boolean {
    return !this.ended.isEmpty;
  }

  /** As ChunkStore.fenceBy: the engine asks, and gives back what it may not begin. */
  fenceBy(fence: Fence): void {
    assert(this.isIdle, 'a store is fenced before its first transfer');
    this.fence = fence;
    this.engine.guard(() => fence.state() === FENCE_OPEN);
    // What waits in the engine would be begun without asking.
    this.tokensMax = Math.min(this.tokensMax, this.engine.begunMax);
    this.freeTokens.splice(0, this.freeTokens.length - this.tokensMax);
  }

  submit(io: ChunkIo): void {
    assert(io.offset + io.length <= this.chunkBytes, 'a transfer stays within its chunk');
    const file = this.fileOf(io);
    if (file === null) return;
    const position = this.positionOf(io, file);
    const isDirect = file.isDirect && this.isAligned(io);
    const { open } = this;
    if (open !== null) {
      const isNext = position === open.position + open.bytes;
      if (isNext && open.join(io, file, isDirect, this.engine.piecesMax)) return;
      this.beginOpen(open);
    }
    const token = this.freeTokens.pop();
    if (token === undefined) return this.waiting.push(io);
    const transfer = this.transfers[token];
    transfer.begin(io, file, isDirect, position);
    file.inFlight++;
    this.open = transfer;
  }

  /** As `submit`, of a transfer whose turn has come long after it was asked for. */
  submitLater(io: ChunkIo): void {
    const state = this.fenceState();
    if (state === FENCE_OPEN) return this.submit(io);
    this.waiting.push(io);
    this.hold(state);
  }

  /** Hands everything over. */
  kick(): void {
    if (this.isHeld) this.startWaiting();
    if (this.open !== null) this.beginOpen(this.open);
    this.engine.submit();
  }

  /** Tells those that ended without the engine. */
  tellEnded(): void {
    for (let io = this.ended.shift(); io !== null; io = this.ended.shift()) {
      io.owner.chunkIoDone(io);
    }
  }

  /** A sync or punch: as a transfer, but answered by callback. */
  control(file: ExtentFile, start: (token: number) => void, done: ErrnoCallback): void {
    // While it waits too: a descriptor that is used later must not be closed now.
    file.inFlight++;
    const token = this.freeTokens.pop();
    if (token === undefined) this.waitingControls.push({ file, start, done });
    else this.beginControl(token, { file, start, done });
  }

  /** An operation of the engine's has ended. */
  completed(token: number, result: number): void {
    const transfer = this.transfers[token];
    const { io, file } = transfer;
    assert(file !== null, 'a completion belongs to a transfer');
    if (result === -ECANCELED && this.fence !== null) return this.givenBack(transfer, file);
    if (io === null) return this.controlCompleted(transfer, file, result);
    if (result === -EAGAIN || result === -EINTR) {
      if (transfer.interruptions++ < INTERRUPTIONS_MAX) {
        return this.attemptAgain(transfer, io, file);
      }
    }
    if (io.next !== null) return this.groupCompleted(transfer, io, file, result);
    if (result === -EINVAL && transfer.isDirect) {
      transfer.isDirect = false;
      return this.goOn(transfer, io, file);
    }
    let errno = result < 0 ? -result : 0;
    if (result >= 0) {
      transfer.doneBytes += result;
      if (transfer.doneBytes < io.length) {
        if (result > 0) {
          transfer.isDirect = false;
          return this.goOn(transfer, io, file);
        }
        if (io.operation === CHUNK_READ) {
          const from = io.memoryOffset + transfer.doneBytes;
          io.memory.bytes.fill(0, from, io.memoryOffset + io.length);
        } else {
          errno = EIO;
        }
      }
    }
    if (io.operation === CHUNK_WRITE) this.noteWritten(file, transfer);
    file.inFlight--;
    this.freeToken(transfer);
    io.errno = errno;
    io.owner.chunkIoDone(io);
  }

  /** At once where a signal can be the cause; what comes again is a shortage, and needs time. */
  private attemptAgain(transfer: Transfer, io: ChunkIo, file: ExtentFile): void {
    if (transfer.interruptions === 1) return this.goOn(transfer, io, file);
    setTimeout(() => {
      this.goOn(transfer, io, file);
      this.handOver();
    }, INTERRUPTION_RETRY_MS);
  }

  /** Gives what is left to the engine again; held by the fence it begins anew when that opens. */
  private goOn(transfer: Transfer, io: ChunkIo, file: ExtentFile): void {
    const state = this.fenceState();
    if (state === FENCE_OPEN) return this.attempt(transfer, io, file);
    this.beginAnew(transfer, io, file);
    this.hold(state);
  }

  /** The guarded engine did not begin it: the fence has closed, or the kernel is short of memory. */
  private givenBack(transfer: Transfer, file: ExtentFile): void {
    const { io, start, callback } = transfer;
    if (io !== null) {
      this.beginAnew(transfer, io, file);
    } else {
      assert(start !== null && callback !== null, 'a control operation can be begun anew');
      this.clear(transfer);
      this.waitingControls.push({ file, start, done: callback });
    }
    this.hold(this.fenceState());
  }

  private beginAnew(transfer: Transfer, io: ChunkIo, file: ExtentFile): void {
    // Part of it may be there.
    if (io.operation === CHUNK_WRITE) this.noteWritten(file, transfer);
    file.inFlight--;
    this.clear(transfer);
    this.eachOf(io, (each) => this.waiting.push(each));
  }

  /** What waits does so until the next `kick`; that of a volume that is lost already has its end. */
  private hold(state: FenceState): void {
    this.isHeld = true;
    if (state === FENCE_LOST) this.failWaiting();
  }

  private fenceState(): FenceState {
    return this.fence === null ? FENCE_OPEN : this.fence.state();
  }

  /** The file that a transfer goes to; null where it has ended for want of one. */
  private fileOf(io: ChunkIo): ExtentFile | null {
    const extent = Math.floor((io.chunk * this.chunkBytes) / EXTENT_BYTES);
    let file: ExtentFile | null;
    try {
      file = this.files.find(io.layer, extent, io.operation === CHUNK_WRITE);
    } catch (error) {
      io.errno = numberOf(error);
      this.ended.push(io);
      return null;
    }
    if (file === null) {
      io.memory.bytes.fill(0, io.memoryOffset, io.memoryOffset + io.length);
      io.errno = 0;
      this.ended.push(io);
    }
    return file;
  }

  private positionOf(io: ChunkIo, file: ExtentFile): number {
    return io.chunk * this.chunkBytes + io.offset - file.extent * EXTENT_BYTES;
  }

  private beginOpen(open: Transfer): void {
    this.open = null;
    this.attempt(open, open.io!, open.file!);
  }

  /** A transfer that goes alone: it waited for a token, or was of several that did not succeed. */
  private begin(token: number, io: ChunkIo): void {
    const file = this.fileOf(io);
    if (file === null) {
      this.freeTokens.push(token);
      return;
    }
    const transfer = this.transfers[token];
    transfer.begin(io, file, file.isDirect && this.isAligned(io), this.positionOf(io, file));
    file.inFlight++;
    this.attempt(transfer, io, file);
  }

  /** Calls back for each of the transfers that are linked, each of which is alone by then. */
  private eachOf(first: ChunkIo, call: (io: ChunkIo) => void): void {
    for (let io: ChunkIo | null = first; io !== null;) {
      const { next }: ChunkIo = io;
      io.next = null;
      call(io);
      io = next;
    }
  }

  /** Ends transfers that the engine does not have. */
  private endEarly(transfer: Transfer, io: ChunkIo, errno: number): void {
    if (transfer.file !== null) transfer.file.inFlight--;
    this.eachOf(io, (each) => {
      each.errno = errno;
      this.ended.push(each);
    });
    this.freeToken(transfer);
  }

  /** Gives what is left of a transfer to the engine. */
  private attempt(transfer: Transfer, io: ChunkIo, file: ExtentFile): void {
    let fd = file.fd;
    if (!transfer.isDirect) {
      try {
        fd = file.buffered();
      } catch (error) {
        return this.endEarly(transfer, io, numberOf(error));
      }
    }
    if (transfer.pieces > 1) return this.attemptPieces(transfer, io, fd);
    const done = transfer.doneBytes;
    const position = transfer.position + done;
    const length = transfer.bytes - done;
    if (io.operation === CHUNK_READ) {
      this.engine.read(fd, io.memory, io.memoryOffset + done, length, position, transfer.token);
    } else {
      this.engine.write(fd, io.memory, io.memoryOffset + done, length, position, transfer.token);
    }
  }

  private attemptPieces(transfer: Transfer, first: ChunkIo, fd: number): void {
    const { engine } = this;
    if (!engine.takesPieces) return this.beginSingly(transfer, first);
    const { memory } = first;
    const { position, token } = transfer;
    let start = first.memoryOffset;
    let end = start;
    for (let io: ChunkIo | null = first; io !== null; io = io.next) {
      if (io.memoryOffset !== end) {
        engine.addPiece(memory, start, end - start);
        start = io.memoryOffset;
      }
      end = io.memoryOffset + io.length;
    }
    engine.addPiece(memory, start, end - start);
    if (first.operation === CHUNK_READ) engine.readPieces(fd, memory, position, token);
    else engine.writePieces(fd, memory, position, token);
  }

  /** What is true of several transfers together need not be true of each: each goes for itself. */
  private beginSingly(transfer: Transfer, first: ChunkIo): void {
    if (transfer.file !== null) transfer.file.inFlight--;
    this.clear(transfer);
    const state = this.fenceState();
    if (state !== FENCE_OPEN) {
      this.eachOf(first, (io) => this.waiting.push(io));
      return this.hold(state);
    }
    this.eachOf(first, (io) => {
      const own = this.freeTokens.pop();
      if (own === undefined) this.waiting.push(io);
      else this.begin(own, io);
    });
    this.startWaitingIfAny();
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

  /** An operation that carried several transfers, all of which succeeded or are tried singly. */
  private groupCompleted(
    transfer: Transfer,
    first: ChunkIo,
    file: ExtentFile,
    result: number,
  ): void {
    if (first.operation === CHUNK_WRITE) this.noteWritten(file, transfer);
    if (result !== transfer.bytes) return this.beginSingly(transfer, first);
    file.inFlight--;
    this.freeToken(transfer);
    this.eachOf(first, endWell);
  }

  /** Also after a failed write: part of it may be there. */
  private noteWritten(file: ExtentFile, transfer: Transfer): void {
    file.dirty = true;
    const end = transfer.position + transfer.bytes;
    if (end > file.sizeBytes) file.sizeBytes = end;
  }

  private freeToken(transfer: Transfer): void {
    this.clear(transfer);
    this.startWaitingIfAny();
  }

  private clear(transfer: Transfer): void {
    transfer.clear();
    this.freeTokens.push(transfer.token);
  }

  private startWaitingIfAny(): void {
    if (this.waitingControls.length > 0 || !this.waiting.isEmpty) this.startWaiting();
  }

  /** Syncs and punches first: however many transfers keep coming, they have their turn. */
  private startWaiting(): void {
    const state = this.fenceState();
    this.isHeld = state !== FENCE_OPEN;
    if (state === FENCE_LOST) return this.failWaiting();
    if (this.isHeld) return;
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

  /** Told at the next `tellEnded`; a control is answered here, which is never inside of its own call. */
  private failWaiting(): void {
    this.isHeld = false;
    for (let io = this.waiting.shift(); io !== null; io = this.waiting.shift()) {
      io.errno = EIO;
      this.ended.push(io);
    }
    for (const { file, done } of this.waitingControls.splice(0)) {
      done(EIO);
      file.inFlight--;
    }
  }

  private beginControl(token: number, { file, start, done }: Control): void {
    const transfer = this.transfers[token];
    transfer.file = file;
    transfer.callback = done;
    transfer.start = start;
    start(token);
  }

  private controlCompleted(transfer: Transfer, file: ExtentFile, result: number): void {
    const { callback } = transfer;
    assert(callback !== null, 'a control operation has a callback');
    // The callback may go on with the file, so it is held until then.
    callback(result < 0 ? -result : 0);
    file.inFlight--;
    this.freeToken(transfer);
  }
}

function endWell(io: ChunkIo): void {
  io.errno = 0;
  io.owner.chunkIoDone(io);
}

/** The number of a system error's name; EIO for any other error. */
export function numberOf(error: unknown): number {
  const name = errnoOf(error);
  if (name === 'EROFS') return EROFS;
  return (osConstants.errno as Record<string, number>)[name ?? ''] ?? EIO;
}
