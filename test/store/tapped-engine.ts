/** An I/O engine under test control: sees every operation, holds some back, makes some fail. */
import { fstatSync } from 'node:fs';
import { openIoEngine } from '../../native-bindings/open-engine';
import type { EngineMemory, IoEngine, IoEngineKind } from '../../native-bindings/io-engine';
import type { OpenEngine } from '../../lib/store/dir/dir-store';
import { flagsOf } from './store-directory';

export type EngineOperation = 'read' | 'write' | 'datasync' | 'punch';

export interface Seen {
  readonly operation: EngineOperation;
  readonly length: number;
  /** Pieces of memory, where they were given as such. */
  readonly pieces: number;
  /** Flags of the descriptor, open(2). */
  readonly flags: number;
}

export class Tap {
  readonly seen: Seen[] = [];
  /** Longest piece that a transfer moves at once; the rest is a short transfer. */
  lengthMax = Infinity;
  /** Results for the next operations of a kind, instead of doing them. */
  readonly answers: Record<EngineOperation, number[]> = {
    read: [],
    write: [],
    datasync: [],
    punch: [],
  };
  /** While true, syncs wait in `held`. */
  holdsSyncs = false;
  /** As an engine whose table of pieces is full. */
  refusesPieces = false;
  readonly held: (() => void)[] = [];
  /** Descriptors registered now. */
  readonly registered = new Set<number>();

  constructor(private readonly kind: IoEngineKind = 'threads') {}

  readonly open: OpenEngine = (onCompletion, onBatchEnd) => {
    const inner = openIoEngine(onCompletion, onBatchEnd, this.kind);
    return this.around(inner, onCompletion, onBatchEnd);
  };

  count(operation: EngineOperation): number {
    return this.seen.filter((seen) => seen.operation === operation).length;
  }

  private around(
    inner: IoEngine,
    onCompletion: (token: number, result: number) => void,
    onBatchEnd: () => void,
  ): IoEngine {
    const takesPieces = (): boolean => inner.takesPieces && !this.refusesPieces;
    const isAnswered = (
      operation: EngineOperation,
      fd: number,
      length: number,
      token: number,
      pieces = 1,
    ): boolean => {
      this.seen.push({ operation, length, pieces, flags: flagsOf(fd) });
      const answer = this.answers[operation].shift();
      if (answer === undefined) return false;
      setImmediate(() => {
        onCompletion(token, answer);
        onBatchEnd();
      });
      return true;
    };
    const transfer =
      (operation: 'read' | 'write') =>
      (
        fd: number,
        memory: EngineMemory,
        memoryOffset: number,
        length: number,
        position: number,
        token: number,
      ): void => {
        if (isAnswered(operation, fd, length, token)) return;
        const piece = Math.min(length, this.lengthMax);
        inner[operation](fd, memory, memoryOffset, piece, position, token);
      };
    let pieces: { memory: EngineMemory; memoryOffset: number; length: number }[] = [];
    const transferPieces =
      (operation: 'readPieces' | 'writePieces') =>
      (fd: number, memory: EngineMemory, position: number, token: number): void => {
        const own = pieces;
        pieces = [];
        const length = own.reduce((sum, piece) => sum + piece.length, 0);
        const kind = operation === 'readPieces' ? 'read' : 'write';
        if (isAnswered(kind, fd, length, token, own.length)) return;
        for (const piece of own) inner.addPiece(piece.memory, piece.memoryOffset, piece.length);
        inner[operation](fd, memory, position, token);
      };
    return {
      kind: inner.kind,
      reason: inner.reason,
      get inFlight() {
        return inner.inFlight;
      },
      get begunMax() {
        return inner.begunMax;
      },
      guard: (mayBegin) => inner.guard(mayBegin),
      read: transfer('read'),
      write: transfer('write'),
      piecesMax: inner.piecesMax,
      get takesPieces() {
        return takesPieces();
      },
      addPiece: (memory, memoryOffset, length) => pieces.push({ memory, memoryOffset, length }),
      readPieces: transferPieces('readPieces'),
      writePieces: transferPieces('writePieces'),
      datasync: (fd, token) => {
        if (isAnswered('datasync', fd, 0, token)) return;
        if (!this.holdsSyncs) return inner.datasync(fd, token);
        this.held.push(() => {
          inner.datasync(fd, token);
          inner.submit();
        });
      },
      punch: (fd, position, length, token) => {
        if (!isAnswered('punch', fd, length, token)) inner.punch(fd, position, length, token);
      },
      submit: () => inner.submit(),
      poll: () => inner.poll(),
      registerMemory: (memory) => inner.registerMemory(memory),
      unregisterMemory: (memory) => inner.unregisterMemory(memory),
      registerFile: (fd) => {
        this.registered.add(fd);
        inner.registerFile(fd);
      },
      unregisterFile: (fd) => {
        // Throws where it is closed already.
        fstatSync(fd);
        this.registered.delete(fd);
        inner.unregisterFile(fd);
      },
      watchReadable: (...watched) => inner.watchReadable(...watched),
      close: () => inner.close(),
    };
  }
}
