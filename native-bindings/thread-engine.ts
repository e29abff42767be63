/** The engine on libuv's thread pool, for where io_uring is not to be had. */
import * as fs from 'node:fs';
import { assert } from '../lib/assert';
import type { EngineMemory, IoBatchEnd, IoDone, IoEngine } from './io-engine';
import { LIBUV_THREADS_DEFAULT, THREAD_OPERATIONS_MAX } from './limits';
import { DATASYNC, NONE, OperationTable, PUNCH, READ, WRITE } from './operation-table';
import { punchHole } from './posix';
import { watchReadable } from './readiness';
import type { Watch, WatchOptions } from './watch';

const EBADF = -9;
const EIO = -5;
const ECANCELED = -125;

type Callback = (error: NodeJS.ErrnoException | null, bytes?: number) => void;

export class ThreadEngine implements IoEngine {
  readonly kind = 'threads';
  readonly piecesMax = 1;
  begunMax = THREAD_OPERATIONS_MAX;
  readonly takesPieces = false;

  private readonly operations = new OperationTable();
  /** Made once a slot, so that an operation makes no closure. */
  private readonly callbacks: Callback[] = [];
  /** Slots that have ended and were not told yet, and their results. */
  private ended: number[] = [];
  private results: number[] = [];
  private begun = 0;
  private telling = false;
  private scheduled = false;
  private mayBegin: (() => boolean) | null = null;

  constructor(
    readonly reason: string,
    private readonly done: IoDone,
    private readonly batchEnd: IoBatchEnd,
  ) {}

  get inFlight(): number {
    return this.operations.used;
  }

  read(
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): void {
    const { operations } = this;
    operations.wait(
      operations.addTransfer(READ, fd, memory, memoryOffset, length, position, token),
    );
  }

  write(
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): void {
    const { operations } = this;
    operations.wait(
      operations.addTransfer(WRITE, fd, memory, memoryOffset, length, position, token),
    );
  }

  addPiece(): void {
    assert(false, 'threads transfer one piece at a time');
  }

  readPieces(): void {
    this.addPiece();
  }

  writePieces(): void {
    this.addPiece();
  }

  datasync(fd: number, token: number): void {
    this.operations.wait(this.operations.add(DATASYNC, fd, 0, 0, token));
  }

  punch(fd: number, position: number, length: number, token: number): void {
    this.operations.wait(this.operations.add(PUNCH, fd, position, length, token));
  }

  /** Threads gain nothing from it, nor from the three that follow. */
  registerMemory(): void {
    return;
  }

  unregisterMemory(): void {
    return;
  }

  registerFile(): void {
    return;
  }

  unregisterFile(): void {
    return;
  }

  watchReadable(fd: number, onReadable: () => void, options?: WatchOptions): Watch {
    return watchReadable(fd, onReadable, options);
  }

  guard(mayBegin: () => boolean): void {
    assert(this.operations.used === 0, 'an engine is guarded before its first operation');
    this.mayBegin = mayBegin;
    // More would wait in libuv's own queue, where nobody asks.
    this.begunMax = threadsOfLibuv();
  }

  submit(): void {
    const isAsked = this.mayBegin !== null && this.operations.anyWaiting;
    const isRefused = isAsked && this.mayBegin?.() === false;
    while (this.begun < this.begunMax || isRefused) {
      const slot = this.operations.next();
      if (slot === NONE) return;
      this.begun++;
      if (isRefused) {
        this.end(slot, ECANCELED);
        continue;
      }
      try {
        this.begin(slot);
      } catch (error) {
        // fs throws at once for what no file could be.
        this.end(slot, resultOf(error as NodeJS.ErrnoException));
      }
    }
  }

  poll(): number {
    if (this.telling) return 0;
    let told = 0;
    this.telling = true;
    try {
      for (; told < this.ended.length; told++) {
        this.done(this.operations.end(this.ended[told]), this.results[told]);
      }
    } finally {
      this.telling = false;
      this.ended.splice(0, told);
      this.results.splice(0, told);
    }
    if (told > 0) this.batchEnd();
    return told;
  }

  close(): void {
    assert(this.operations.used === 0, 'an engine is closed with nothing in flight');
  }

  private begin(slot: number): void {
    const { kinds, fds, memories, memoryOffsets, lengths, positions } = this.operations;
    const callback = (this.callbacks[slot] ??= (error, bytes) =>
      this.end(slot, error === null ? (bytes ?? 0) : resultOf(error)));
    const fd = fds[slot];
    const position = positions[slot];
    const length = lengths[slot];
    switch (kinds[slot]) {
      case READ:
        fs.read(fd, memories[slot]!.bytes, memoryOffsets[slot], length, position, callback);
        break;
      case WRITE:
        fs.write(fd, memories[slot]!.bytes, memoryOffsets[slot], length, position, callback);
        break;
      case DATASYNC:
        fs.fdatasync(fd, callback);
        break;
      default:
        // Blocks the event loop: Node has no fallocate, and ffi-napi's threads lose the errno.
        punchHole(fd, position, length);
        this.end(slot, 0);
    }
  }

  /** Notes an end; all those of one round of the event loop are told together. */
  private end(slot: number, result: number): void {
    this.begun--;
    this.ended.push(slot);
    this.results.push(result);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.poll();
      if (this.operations.anyWaiting) this.submit();
    });
  }
}

/** As libuv reads it: threads that all of the process's file operations share. */
function threadsOfLibuv(): number {
  const asked = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? '', 10);
  if (!Number.isInteger(asked)) return LIBUV_THREADS_DEFAULT;
  return Math.min(Math.max(asked, 1), THREAD_OPERATIONS_MAX);
}

function resultOf(error: NodeJS.ErrnoException): number {
  if (error.code === 'ERR_OUT_OF_RANGE') return EBADF;
  return error.errno === undefined ? EIO : -Math.abs(error.errno);
}
