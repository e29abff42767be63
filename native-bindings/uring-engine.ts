/** The engine on io_uring: one system call a batch in, one eventfd wake-up a batch out. */
import { closeSync } from 'node:fs';
import { assert } from '../lib/assert';
import type { Addon, AddonWatch } from './addon';
import type { EngineMemory, IoBatchEnd, IoDone, IoEngine } from './io-engine';
import {
  LINGER_SUBMIT_AT_ONCE,
  URING_COMPLETIONS,
  URING_PIECES_MAX,
  URING_RETRY_MS,
} from './limits';
import { lingerGate } from './linger-gate';
import { DATASYNC, OperationTable, PUNCH, READ, WRITE } from './operation-table';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from './posix';
import { watchReadable } from './readiness';
import { SystemCallError } from './system-call-error';
import { UringFiles } from './uring-files';
import * as layout from './uring-layout';
import { askedLingerUs, UringLinger } from './uring-linger';
import { UNREGISTERED, UringMemory } from './uring-memory';
import { UringRing } from './uring-ring';
import { FIRST_WATCH, UringSubmission } from './uring-submission';
import { UringVectors } from './uring-vectors';
import { UringWatches } from './uring-watches';
import type { Watch, WatchOptions } from './watch';

const HALF = 2 ** 32;
const ECANCELED = -125;
const POSTED_BY_ENTER = layout.SQ_TASKRUN | layout.SQ_CQ_OVERFLOW;

export class UringEngine implements IoEngine {
  readonly kind = 'io_uring';
  readonly reason = null;
  readonly piecesMax = URING_PIECES_MAX;
  readonly begunMax = URING_COMPLETIONS;

  private readonly operations = new OperationTable();
  private readonly registered: UringMemory;
  private readonly files: UringFiles;
  private readonly vectors: UringVectors;
  private readonly submission: UringSubmission;
  private readonly watches: UringWatches;
  private readonly linger: UringLinger | null;
  private readonly eventfd: number;
  private readonly eventfdWatch: AddonWatch;
  private keepsAlive = true;

  /** Head of the completion ring. */
  private head = 0;
  /** Operations in the submission ring or with the kernel: never more than completions fit. */
  private begun = 0;
  private telling = false;
  private retry: NodeJS.Timeout | undefined;
  private mayBegin: (() => boolean) | null = null;
  /** Since the last hand-over operations were begun, which `mayBegin` was not asked for. */
  private isQuestionDue = false;
  /** Slots of operations that were not begun, to be told so. */
  private withdrawn: number[] = [];

  /** An engine, or why there can be none, in a few words. */
  static open(native: Addon, done: IoDone, batchEnd: IoBatchEnd): UringEngine | string {
    const lingerUs = askedLingerUs();
    const ring = UringRing.open(native);
    if (typeof ring === 'string') return ring;
    return new UringEngine(native, ring, lingerUs, done, batchEnd);
  }

  private constructor(
    private readonly native: Addon,
    private readonly ring: UringRing,
    lingerUs: number,
    private readonly done: IoDone,
    private readonly batchEnd: IoBatchEnd,
  ) {
    this.registered = new UringMemory(native, ring.fd);
    this.files = new UringFiles(native, ring.fd);
    this.vectors = new UringVectors(native);
    this.submission = new UringSubmission(ring);
    this.eventfd = native.eventfd();
    if (this.eventfd < 0) throw new SystemCallError('eventfd', -this.eventfd);
    ring.registerEventfd(this.eventfd);
    const watch = native.watchLevel(this.eventfd, () => this.awake());
    if (typeof watch === 'number') throw new SystemCallError('epoll_ctl', -watch);
    this.eventfdWatch = watch;
    const { submission } = this;
    this.watches = new UringWatches({
      native,
      submission,
      handOver: () => this.handOver(),
      offerAgainSoon: () => this.offerAgainSoon(),
      keepAliveChanged: () => this.updateKeepAlive(),
    });
    const lingerHost = {
      native,
      ring,
      submission,
      entered: () => this.entered(),
      tellLeftOver: () => this.tellLeftOver(),
    };
    this.linger = UringLinger.open(lingerHost, lingerGate, lingerUs);
    this.updateKeepAlive();
  }

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
    this.begin(operations.addTransfer(READ, fd, memory, memoryOffset, length, position, token));
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
    this.begin(operations.addTransfer(WRITE, fd, memory, memoryOffset, length, position, token));
  }

  get takesPieces(): boolean {
    if (this.operations.anyWaiting || !this.hasRoom) return false;
    return this.vectors.hasRoom(this.submission.untaken);
  }

  addPiece(memory: EngineMemory, memoryOffset: number, length: number): void {
    assert(memory.address !== 0, 'a piece has an address');
    assert(
      memoryOffset >= 0 && memoryOffset + length <= memory.bytes.length,
      'a piece lies in its memory',
    );
    this.vectors.add(memory.address + memoryOffset, length);
  }

  readPieces(fd: number, memory: EngineMemory, position: number, token: number): void {
    const slot = this.operations.addTransfer(READ, fd, memory, 0, 0, position, token);
    this.writePiecesEntry(slot, layout.OP_READV, layout.OP_READV_FIXED);
  }

  writePieces(fd: number, memory: EngineMemory, position: number, token: number): void {
    const slot = this.operations.addTransfer(WRITE, fd, memory, 0, 0, position, token);
    this.writePiecesEntry(slot, layout.OP_WRITEV, layout.OP_WRITEV_FIXED);
  }

  datasync(fd: number, token: number): void {
    this.begin(this.operations.add(DATASYNC, fd, 0, 0, token));
  }

  punch(fd: number, position: number, length: number, token: number): void {
    this.begin(this.operations.add(PUNCH, fd, position, length, token));
  }

  registerMemory(memory: EngineMemory): void {
    this.registered.register(memory);
  }

  unregisterMemory(memory: EngineMemory): void {
    this.registered.unregister(memory);
  }

  registerFile(fd: number): void {
    this.files.register(fd);
  }

  unregisterFile(fd: number): void {
    this.files.unregister(fd);
  }

  watchReadable(fd: number, onReadable: () => void, options: WatchOptions = {}): Watch {
    if (!this.ring.canWatch) return watchReadable(fd, onReadable, options);
    return this.watches.add(fd, onReadable, options.keepAlive ?? true);
  }

  submit(): void {
    this.fill();
    const { untaken } = this.submission;
    if (untaken > 0) {
      // The call that waits hands them over as well, and comes before libuv's loop sleeps.
      const isNextTurnSoon = this.linger?.isActive === true && untaken < LINGER_SUBMIT_AT_ONCE;
      if (!isNextTurnSoon || this.mayBegin !== null) this.handOver();
    }
    this.updateKeepAlive();
  }

  guard(mayBegin: () => boolean): void {
    assert(this.operations.used === 0, 'an engine is guarded before its first operation');
    this.mayBegin = mayBegin;
  }

  poll(): number {
    // A completion's owner may ask from within its call; those that wait are told by the outer one.
    if (this.telling) return 0;
    if (this.submission.untaken > 0) this.handOver();
    const { ring } = this;
    if ((Atomics.load(ring.words, ring.submissionFlagsWord) & POSTED_BY_ENTER) !== 0) {
      ring.enter(0, 0, layout.ENTER_GETEVENTS);
    }
    this.telling = true;
    try {
      return this.tell();
    } finally {
      this.telling = false;
    }
  }

  close(): void {
    assert(this.operations.used === 0, 'an engine is closed with nothing in flight');
    assert(this.watches.active === 0, 'an engine is closed when nothing is watched');
    clearTimeout(this.retry);
    this.linger?.close();
    this.submission.forget();
    this.native.watchStop(this.eventfdWatch);
    this.ring.close();
    closeSync(this.eventfd);
  }

  /** Takes what has ended, then calls back for what that and the files watched bring. */
  private tell(): number {
    const { ring } = this;
    const { words } = ring;
    let told = 0;
    let called = 0;
    try {
      // The kernel may post more meanwhile, also because of what the calls below begin.
      for (
        let tail = Atomics.load(words, ring.completionTailWord);
        this.head !== tail;
        tail = Atomics.load(words, ring.completionTailWord)
      ) {
        while (this.head !== tail) told += this.tellOne();
        Atomics.store(words, ring.completionHeadWord, this.head);
      }
      called = this.watches.callBack();
    } finally {
      if (told > 0) this.batchEnd();
    }
    return told + called;
  }

  /** Takes one completion; 1 where it was an operation's. */
  private tellOne(): number {
    const { ring } = this;
    const { words } = ring;
    const entry = ring.completionsWord + (this.head & ring.completionMask) * layout.CQE_WORDS;
    const userData = words[entry];
    const result = words[entry + layout.CQE_RESULT];
    this.head = (this.head + 1) | 0;
    if (userData >= 0) {
      this.begun--;
      this.done(this.operations.end(userData), result);
      return 1;
    }
    if (userData <= FIRST_WATCH) {
      this.watches.told(userData, result, words[entry + layout.CQE_FLAGS]);
    } else {
      this.linger?.told(userData, result);
    }
    return 0;
  }

  /** libuv's loop has seen the eventfd. */
  private awake(): void {
    this.native.drainEventfd(this.eventfd);
    const told = this.poll();
    this.goOn();
    if (told > 0 && this.watches.active > 0) this.linger?.enter();
  }

  /** The addon has handed over and waited. */
  private entered(): boolean {
    if (!this.submission.wasTaken()) {
      this.linger?.leave();
      this.offerAgainSoon();
    }
    const told = this.poll();
    this.goOn();
    return told > 0;
  }

  /** Begins what found no room before, or is wanted since. A call back may have closed the engine. */
  private goOn(): void {
    const { operations, submission, watches } = this;
    if (operations.anyWaiting || submission.untaken > 0 || watches.areEntriesWanted) this.submit();
    else this.updateKeepAlive();
  }

  private tellLeftOver(): void {
    if (this.poll() > 0) this.linger?.enter();
    this.updateKeepAlive();
  }

  private handOver(): void {
    const { mayBegin } = this;
    do {
      this.fill();
      if (mayBegin !== null && this.isQuestionDue) {
        this.isQuestionDue = false;
        if (!mayBegin()) {
          this.withdraw();
          setImmediate(this.tellWithdrawn);
        }
      }
      if (!this.submission.handOver()) {
        // Told when they would be offered again: at once they would only come again.
        if (mayBegin !== null) this.withdraw();
        return this.offerAgainSoon();
      }
    } while (this.operations.anyWaiting && this.begun < this.ring.completions);
  }

  /** The kernel is short of memory: what is in the ring stays there. */
  private offerAgainSoon(): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      this.watches.offerAgain();
      this.handOver();
      this.tellWithdrawn();
    }, URING_RETRY_MS);
  }

  /** Takes back the operations that the kernel has not taken; `tellWithdrawn` is to follow. */
  private withdraw(): void {
    this.submission.withdrawOperations((slot) => {
      this.begun--;
      this.withdrawn.push(slot);
    });
  }

  private readonly tellWithdrawn = (): void => {
    if (this.withdrawn.length === 0) return;
    const withdrawn = this.withdrawn;
    this.withdrawn = [];
    this.telling = true;
    try {
      for (const slot of withdrawn) this.done(this.operations.end(slot), ECANCELED);
    } finally {
      this.telling = false;
    }
    this.batchEnd();
    this.goOn();
  };

  /**
   * Given up only when lingering ends: with one request at a time each would take it and give it up
   * again, by two calls of the addon.
   */
  private updateKeepAlive(): void {
    const isNeeded = this.begun > 0 || this.watches.keptAlive > 0;
    const wanted = isNeeded || (this.keepsAlive && this.linger?.isActive === true);
    if (wanted === this.keepsAlive) return;
    this.keepsAlive = wanted;
    this.native.watchReference(this.eventfdWatch, wanted);
  }

  /** Writes entries for those that wait, as many as there is room for, and publishes them. */
  private fill(): void {
    const { operations } = this;
    this.watches.fill();
    while (operations.anyWaiting && this.hasRoom) this.writeEntry(operations.next());
    this.submission.publish();
  }

  private get hasRoom(): boolean {
    return !this.submission.isFull && this.begun < this.ring.completions;
  }

  /** Writes an operation's entry, to be published by `submit`; where there is no room it waits. */
  private begin(slot: number): void {
    if (this.operations.anyWaiting || !this.hasRoom) this.operations.wait(slot);
    else this.writeEntry(slot);
  }

  /** Begins an operation's entry, but for what its kind says; that is to be or'ed to the first word. */
  private beginEntry(slot: number): number {
    this.begun++;
    this.isQuestionDue = true;
    const { fds, positions } = this.operations;
    const { sqes } = this.submission;
    const fd = fds[slot];
    const position = positions[slot];
    const entry = this.submission.begin(this.files.flagOf(fd), fd, slot);
    sqes[entry + layout.SQE_OFFSET] = position;
    sqes[entry + layout.SQE_OFFSET + 1] = position / HALF;
    return entry;
  }

  private writeEntry(slot: number): void {
    const { kinds, lengths } = this.operations;
    const { submission } = this;
    const { sqes } = submission;
    const entry = this.beginEntry(slot);
    switch (kinds[slot]) {
      case READ:
        this.writeTransfer(entry, slot, layout.OP_READ, layout.OP_READ_FIXED);
        break;
      case WRITE:
        this.writeTransfer(entry, slot, layout.OP_WRITE, layout.OP_WRITE_FIXED);
        break;
      case DATASYNC:
        sqes[entry + layout.SQE_OPCODE] |= layout.OP_FSYNC;
        sqes[entry + layout.SQE_FLAGS] = layout.FSYNC_DATASYNC;
        break;
      default:
        // IORING_OP_FALLOCATE has its length in the address and its mode in the length.
        sqes[entry + layout.SQE_OPCODE] |= layout.OP_FALLOCATE;
        submission.setAddress(entry, lengths[slot]);
        sqes[entry + layout.SQE_LENGTH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    }
  }

  private writePiecesEntry(slot: number, plain: number, fixed: number): void {
    const { submission, vectors } = this;
    assert(vectors.count > 0 && vectors.count <= URING_PIECES_MAX, 'a transfer has its pieces');
    const entry = this.beginEntry(slot);
    const index = this.registered.indexOf(this.operations.memories[slot]!);
    const isFixed = index !== UNREGISTERED && this.ring.hasFixedVectors;
    submission.sqes[entry + layout.SQE_OPCODE] |= isFixed ? fixed : plain;
    if (isFixed) submission.sqes[entry + layout.SQE_BUFFER_INDEX] = index;
    submission.setAddress(entry, vectors.arrayAddress);
    submission.sqes[entry + layout.SQE_LENGTH] = vectors.count;
    vectors.finish();
  }

  private writeTransfer(entry: number, slot: number, plain: number, fixed: number): void {
    const { memories, memoryOffsets, lengths } = this.operations;
    const { sqes } = this.submission;
    const memory = memories[slot]!;
    const base = memory.address !== 0 ? memory.address : this.native.addressOf(memory.bytes);
    const index = this.registered.indexOf(memory);
    sqes[entry + layout.SQE_OPCODE] |= index === UNREGISTERED ? plain : fixed;
    if (index !== UNREGISTERED) sqes[entry + layout.SQE_BUFFER_INDEX] = index;
    this.submission.setAddress(entry, base + memoryOffsets[slot]);
    sqes[entry + layout.SQE_LENGTH] = lengths[slot];
  }
}
