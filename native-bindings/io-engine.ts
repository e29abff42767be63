/** What reads and writes files for a store: many operations at a time, handed over by the batch. */
import type { Watch, WatchOptions } from './watch';

/** Memory that transfers go to and come from; lib/store's MemoryArea fits it. */
export interface EngineMemory {
  readonly bytes: Buffer;
  /** Virtual address of bytes[0]; 0 where it is ordinary heap memory. */
  readonly address: number;
}

/**
 * Called once for each operation, never from inside the call that queued it. `result` is the bytes
 * moved (0 for sync and punch; short at the end of a file), or a negative errno. May queue further
 * operations. Must not throw.
 */
export type IoDone = (token: number, result: number) => void;

/** Called after a batch of `IoDone`s: the place to hand over (`submit`) what those queued. */
export type IoBatchEnd = () => void;

/**
 * Operations on open files. They are queued, and start at `submit` at the latest; they end in any
 * order. The memory and the file stay valid until then. There is no Promise and no allocation per
 * operation. Lengths are bytes below 2 GiB, positions bytes up to 2^53, tokens the caller's own
 * integers from 0 to 2^31 - 1, which need not be unique.
 *
 * A file opened with O_DIRECT demands memory, position and length in multiples of its block.
 */
export interface IoEngine {
  readonly kind: IoEngineKind;
  /** Why it is not io_uring, else null. */
  readonly reason: string | null;
  /** Operations queued or begun whose end was not yet told. */
  readonly inFlight: number;

  /**
   * Operations that are begun at `submit`; those beyond wait in the engine for earlier ones. Fewer
   * once it is guarded, where the others would wait outside of the engine.
   */
  readonly begunMax: number;

  read(
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): void;

  write(
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): void;

  /** Pieces of memory that one transfer can have; 1: `readPieces` and `writePieces` are not there. */
  readonly piecesMax: number;

  /** Whether one transfer of pieces can be queued now; where not, its pieces can, one by one. */
  readonly takesPieces: boolean;

  /** Adds a piece to the transfer that the next `readPieces` or `writePieces` queues. */
  addPiece(memory: EngineMemory, memoryOffset: number, length: number): void;

  /**
   * As `read` and `write`, of all pieces added, which are at most `piecesMax` and lie in `memory`,
   * an area with an address. Only while `takesPieces`.
   */
  readPieces(fd: number, memory: EngineMemory, position: number, token: number): void;
  writePieces(fd: number, memory: EngineMemory, position: number, token: number): void;

  /** fdatasync: covers the writes whose end was told before this call, no others. */
  datasync(fd: number, token: number): void;

  /** Makes a range read as zeros and gives its blocks back; the file's size stays. */
  punch(fd: number, position: number, length: number, token: number): void;

  /**
   * From now on `mayBegin` is asked right before operations go to the kernel. Where it says no, and
   * where the kernel is too short of memory to take them, they end with -ECANCELED instead, unbegun:
   * nothing that was queued goes to the kernel by itself later. Called before the first operation.
   */
  guard(mayBegin: () => boolean): void;

  /** Hands everything queued over, with one system call where the kernel takes it at once. */
  submit(): void;

  /**
   * Tells the ends that are there now; returns how many. Takes no system call while nothing has
   * ended: the hook for a bounded spin.
   */
  poll(): number;

  /**
   * Lets the kernel keep an area's pages at hand, which makes transfers cheaper; where it may
   * not (pages of a file on a disk; too little locked memory), nothing changes. Only for memory with
   * an address whose pages stay the same: never for a blktap device's, whose pages the kernel
   * exchanges with every request.
   */
  registerMemory(memory: EngineMemory): void;
  unregisterMemory(memory: EngineMemory): void;

  /**
   * Lets the kernel keep a file at hand, which spares a look-up for each operation; where it may not,
   * nothing changes. `unregisterFile` comes before the descriptor is closed.
   */
  registerFile(fd: number): void;
  unregisterFile(fd: number): void;

  /**
   * As readiness.ts's `watchReadable`, told among the ends of operations where that is cheaper: for
   * the doorbell of whoever asks for the transfers. Not for blktap devices, whose poll is a step of
   * their protocol.
   *
   * @throws SystemCallError EPERM, EBADF
   */
  watchReadable(fd: number, onReadable: () => void, options?: WatchOptions): Watch;

  /** Ends the engine; nothing may be in flight or watched. */
  close(): void;
}

export type IoEngineKind = 'io_uring' | 'threads';
