/** The engine on io_uring: one system call a batch in, one eventfd wake-up a batch out. */
import { closeSync } from 'node:fs';
import { assert } from '../lib/assert';
import type { Addon, AddonWatch } from './addon';
import type { EngineMemory, IoBatchEnd, IoDone, IoEngine } from './io-engine';
import { URING_RETRY_MS } from './limits';
import { DATASYNC, NONE, OperationTable, PUNCH, READ, WRITE } from './operation-table';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from './posix';
import { SystemCallError } from './system-call-error';
import * as layout from './uring-layout';
import { UNREGISTERED, UringMemory } from './uring-memory';
import { UringRing } from './uring-ring';

const HALF = 2 ** 32;
const EINTR = -4;
const EAGAIN = -11;
const EBUSY = -16;
const POSTED_BY_ENTER = layout.SQ_TASKRUN | layout.SQ_CQ_OVERFLOW;

export class UringEngine implements IoEngine {
  readonly kind = 'io_uring';
  readonly reason = null;

  private readonly operations = new OperationTable();
  private readonly registered: UringMemory;
  private readonly eventfd: number;
  private readonly watch: AddonWatch;
  private keepsAlive = true;

  /** Tail of the submission ring, and how many entries before it the kernel has not taken. */
  private tail = 0;
  private untaken = 0;
  /** Head of the completion ring. */
  private head = 0;
  /** Operations in the submission ring or with the kernel: never more than completions fit. */
  private begun = 0;
  private telling = false;
  private retry: NodeJS.Timeout | undefined;

  /** An engine, or why there can be none, in a few words. */
  static open(native: Addon, done: IoDone, batchEnd: IoBatchEnd): UringEngine | string {
    const ring = UringRing.open(native);
    return typeof ring === 'string' ? ring : new UringEngine(native, ring, done, batchEnd);
  }

  private constructor(
    private readonly native: Addon,
    private readonly ring: UringRing,
    private readonly done: IoDone,
    private readonly batchEnd: IoBatchEnd,
  ) {
    this.registered = new UringMemory(native, ring.fd);
    this.eventfd = native.eventfd();
    if (this.eventfd < 0) throw new SystemCallError('eventfd', -this.eventfd);
    ring.registerEventfd(this.eventfd);
    const watch = native.watchLevel(this.eventfd, () => this.awake());
    if (typeof watch === 'number') throw new SystemCallError('epoll_ctl', -watch);
    this.watch = watch;
    this.keepAlive(false);
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
    this.operations.addTransfer(READ, fd, memory, memoryOffset, length, position, token);
  }

  write(
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): void {
    this.operations.addTransfer(WRITE, fd, memory, memoryOffset, length, position, token);
  }

  datasync(fd: number, token: number): void {
    this.operations.add(DATASYNC, fd, 0, 0, token);
  }

  punch(fd: number, position: number, length: number, token: number): void {
    this.operations.add(PUNCH, fd, position, length, token);
  }

  registerMemory(memory: EngineMemory): void {
    this.registered.register(memory);
  }

  unregisterMemory(memory: EngineMemory): void {
    this.registered.unregister(memory);
  }

  submit(): void {
    for (;;) {
      this.fill();
      if (this.untaken === 0) break;
      const taken = this.ring.enter(this.untaken, 0, 0);
      if (taken === EINTR) continue;
      if (taken === EAGAIN || taken === EBUSY) {
        // The kernel is short of memory: what is in the ring stays there and is offered again.
        this.retry ??= setTimeout(() => this.submitAgain(), URING_RETRY_MS);
        break;
      }
      if (taken < 0) throw new SystemCallError('io_uring_enter', -taken);
      this.untaken -= taken;
    }
    if (this.begun > 0 && !this.keepsAlive) this.keepAlive(true);
  }

  poll(): number {
    // A completion's owner may ask from within its call; those that wait are told by the outer one.
    if (this.telling) return 0;
    const ring = this.ring;
    const words = ring.words;
    if ((Atomics.load(words, ring.submissionFlagsWord) & POSTED_BY_ENTER) !== 0) {
      ring.enter(0, 0, layout.ENTER_GETEVENTS);
    }
    let told = 0;
    this.telling = true;
    try {
      while (this.head !== Atomics.load(words, ring.completionTailWord)) {
        const entry = ring.completionsWord + (this.head & ring.completionMask) * layout.CQE_WORDS;
        const slot = words[entry];
        const result = words[entry + layout.CQE_RESULT];
        this.head = (this.head + 1) | 0;
        Atomics.store(words, ring.completionHeadWord, this.head);
        this.begun--;
        told++;
        this.done(this.operations.end(slot), result);
      }
    } finally {
      this.telling = false;
    }
    if (told > 0) this.batchEnd();
    return told;
  }

  close(): void {
    assert(this.operations.used === 0, 'an engine is closed with nothing in flight');
    clearTimeout(this.retry);
    this.native.watchStop(this.watch);
    this.ring.close();
    closeSync(this.eventfd);
  }

  private awake(): void {
    this.native.drainEventfd(this.eventfd);
    this.poll();
    if (this.operations.anyWaiting || this.untaken > 0) this.submit();
    if (this.begun === 0 && this.keepsAlive) this.keepAlive(false);
  }

  private submitAgain(): void {
    this.retry = undefined;
    this.submit();
  }

  private keepAlive(wanted: boolean): void {
    this.keepsAlive = wanted;
    this.native.watchReference(this.watch, wanted);
  }

  /** Writes entries for those that wait, as many as there is room for. */
  private fill(): void {
    const ring = this.ring;
    const from = this.tail;
    while (this.untaken < ring.submissions && this.begun < ring.completions) {
      const slot = this.operations.next();
      if (slot === NONE) break;
      this.writeEntry(slot, (this.tail & ring.submissionMask) * layout.SQE_WORDS);
      this.tail = (this.tail + 1) | 0;
      this.untaken++;
      this.begun++;
    }
    if (this.tail !== from) Atomics.store(ring.words, ring.submissionTailWord, this.tail);
  }

  private writeEntry(slot: number, entry: number): void {
    const { kinds, fds, positions, lengths } = this.operations;
    const sqes = this.ring.sqes;
    const position = positions[slot];
    sqes[entry + layout.SQE_FD] = fds[slot];
    sqes[entry + layout.SQE_OFFSET] = position;
    sqes[entry + layout.SQE_OFFSET + 1] = position / HALF;
    sqes[entry + layout.SQE_FLAGS] = 0;
    sqes[entry + layout.SQE_USER_DATA] = slot;
    sqes[entry + layout.SQE_USER_DATA + 1] = 0;
    sqes[entry + layout.SQE_BUFFER_INDEX] = 0;
    switch (kinds[slot]) {
      case READ:
        this.writeTransfer(slot, entry, layout.OP_READ, layout.OP_READ_FIXED);
        break;
      case WRITE:
        this.writeTransfer(slot, entry, layout.OP_WRITE, layout.OP_WRITE_FIXED);
        break;
      case DATASYNC:
        sqes[entry] = layout.OP_FSYNC;
        sqes[entry + layout.SQE_ADDRESS] = 0;
        sqes[entry + layout.SQE_ADDRESS + 1] = 0;
        sqes[entry + layout.SQE_LENGTH] = 0;
        sqes[entry + layout.SQE_FLAGS] = layout.FSYNC_DATASYNC;
        break;
      default:
        // IORING_OP_FALLOCATE has its length in the address and its mode in the length.
        sqes[entry] = layout.OP_FALLOCATE;
        sqes[entry + layout.SQE_ADDRESS] = lengths[slot];
        sqes[entry + layout.SQE_ADDRESS + 1] = lengths[slot] / HALF;
        sqes[entry + layout.SQE_LENGTH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    }
  }

  private writeTransfer(slot: number, entry: number, plain: number, fixed: number): void {
    const { memories, memoryOffsets, lengths } = this.operations;
    const sqes = this.ring.sqes;
    const memory = memories[slot]!;
    const base = memory.address !== 0 ? memory.address : this.native.addressOf(memory.bytes);
    const address = base + memoryOffsets[slot];
    const index = this.registered.indexOf(memory);
    sqes[entry + layout.SQE_OPCODE] = index === UNREGISTERED ? plain : fixed;
    if (index !== UNREGISTERED) sqes[entry + layout.SQE_BUFFER_INDEX] = index;
    sqes[entry + layout.SQE_ADDRESS] = address;
    sqes[entry + layout.SQE_ADDRESS + 1] = address / HALF;
    sqes[entry + layout.SQE_LENGTH] = lengths[slot];
  }
}
