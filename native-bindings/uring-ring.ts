/** The two rings of an io_uring, set up and mapped: entries are written and read in place. */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import type { Addon } from './addon';
import { assert } from '../lib/assert';
import { URING_COMPLETIONS, URING_SUBMISSIONS } from './limits';
import { SystemCallError } from './system-call-error';
import * as layout from './uring-layout';

const EINVAL = 22;
const ENOSYS = 38;
const EPERM = 1;
const ENOMEM = 12;

/**
 * COOP_TASKRUN (5.19) keeps the kernel from interrupting this thread for each completion;
 * TASKRUN_FLAG says when it then has something to post. DEFER_TASKRUN would post only inside
 * io_uring_enter: then an eventfd or a poll of the ring misses wake-ups.
 */
const FLAGS_WANTED =
  layout.SETUP_CLAMP |
  layout.SETUP_CQSIZE |
  layout.SETUP_SUBMIT_ALL |
  layout.SETUP_COOP_TASKRUN |
  layout.SETUP_TASKRUN_FLAG;
const FLAGS_OF_OLD_KERNELS = layout.SETUP_CLAMP | layout.SETUP_CQSIZE;

const FEATURES_NEEDED =
  layout.FEATURE_SINGLE_MMAP | layout.FEATURE_NODROP | layout.FEATURE_SUBMIT_STABLE;

const OPERATIONS_NEEDED = [
  layout.OP_READV,
  layout.OP_WRITEV,
  layout.OP_READ,
  layout.OP_WRITE,
  layout.OP_READ_FIXED,
  layout.OP_WRITE_FIXED,
  layout.OP_FSYNC,
  layout.OP_FALLOCATE,
];

export class UringRing {
  readonly submissions: number;
  readonly completions: number;
  /** Submission entries, SQE_WORDS each; the entry of a tail is at (tail & submissionMask). */
  readonly sqes: Uint32Array;
  readonly submissionMask: number;
  /** The words of both rings, and where in them the shared indices are. */
  readonly words: Int32Array;
  readonly completionMask: number;
  readonly submissionTailWord: number;
  readonly submissionFlagsWord: number;
  readonly completionHeadWord: number;
  readonly completionTailWord: number;
  readonly completionFlagsWord: number;
  /** First word of the completion entries, CQE_WORDS each. */
  readonly completionsWord: number;
  /** Whether polls of this ring tell each write to a file, whether or not it was read meanwhile. */
  readonly canWatch: boolean;
  /** Whether transfers of several pieces may be of registered memory. */
  readonly hasFixedVectors: boolean;
  /** Whether io_uring_enter can bound its wait by itself. */
  readonly canBoundWaits: boolean;
  /** What io_uring_enter takes: the index of the registered ring, else its descriptor. */
  readonly enterFd: number;
  readonly enterFlags: number;

  private readonly rings: ArrayBuffer;
  private readonly entries: ArrayBuffer;

  /** A ring, or why there can be none, in a few words. */
  static open(native: Addon): UringRing | string {
    const params = Buffer.alloc(layout.PARAMS_BYTES);
    const fd = setup(native, params);
    if (fd < 0) return reasonOf(-fd);
    const features = params.readUInt32LE(layout.PARAMS_FEATURES);
    const supported = operationsOf(native, fd);
    const missing = OPERATIONS_NEEDED.filter((operation) => !supported.has(operation));
    let why: string | null = null;
    if ((features & FEATURES_NEEDED) !== FEATURES_NEEDED) why = 'its rings are of an old layout';
    else if (missing.length > 0) why = `it lacks the operations ${missing.join(', ')}`;
    if (why !== null) {
      closeSync(fd);
      return `this kernel's io_uring is too old: ${why}`;
    }
    return new UringRing(native, fd, params, supported);
  }

  private constructor(
    private readonly native: Addon,
    readonly fd: number,
    params: Buffer,
    supported: ReadonlySet<number>,
  ) {
    this.hasFixedVectors =
      supported.has(layout.OP_READV_FIXED) && supported.has(layout.OP_WRITEV_FIXED);
    this.submissions = params.readUInt32LE(layout.PARAMS_SQ_ENTRIES);
    this.completions = params.readUInt32LE(layout.PARAMS_CQ_ENTRIES);
    const array = params.readUInt32LE(layout.PARAMS_SQ_ARRAY);
    const cqes = params.readUInt32LE(layout.PARAMS_CQ_CQES);
    const ringBytes = Math.max(
      array + this.submissions * 4,
      cqes + this.completions * layout.CQE_WORDS * 4,
    );
    this.rings = this.map(ringBytes, layout.OFFSET_RINGS);
    this.entries = this.map(this.submissions * layout.SQE_WORDS * 4, layout.OFFSET_SQES);
    this.sqes = new Uint32Array(this.entries);
    this.words = new Int32Array(this.rings);
    this.submissionMask = this.words[params.readUInt32LE(layout.PARAMS_SQ_MASK) / 4];
    this.completionMask = this.words[params.readUInt32LE(layout.PARAMS_CQ_MASK) / 4];
    this.submissionTailWord = params.readUInt32LE(layout.PARAMS_SQ_TAIL) / 4;
    this.submissionFlagsWord = params.readUInt32LE(layout.PARAMS_SQ_FLAGS) / 4;
    this.completionHeadWord = params.readUInt32LE(layout.PARAMS_CQ_HEAD) / 4;
    this.completionTailWord = params.readUInt32LE(layout.PARAMS_CQ_TAIL) / 4;
    this.completionFlagsWord = params.readUInt32LE(layout.PARAMS_CQ_FLAGS) / 4;
    this.completionsWord = cqes / 4;
    const features = params.readUInt32LE(layout.PARAMS_FEATURES);
    this.canWatch = (features & layout.FEATURE_CQE_SKIP) !== 0;
    this.canBoundWaits = (features & layout.FEATURE_EXT_ARG) !== 0;
    const index = this.registerRing();
    this.enterFd = index ?? fd;
    this.enterFlags = index === null ? 0 : layout.ENTER_REGISTERED_RING;
    // Entries are used in the order of the tail, so the indirection stays the identity.
    for (let index = 0; index < this.submissions; index++) this.words[array / 4 + index] = index;
  }

  /** Has the kernel count up an eventfd with every completion. */
  registerEventfd(eventfd: number): void {
    const argument = Buffer.alloc(4);
    argument.writeInt32LE(eventfd);
    const result = this.native.ringRegister(this.fd, layout.REGISTER_EVENTFD, argument, 1);
    if (result < 0) throw new SystemCallError('io_uring_register', -result);
  }

  /** Whether completions count the eventfd up; they do at first. */
  setEventfd(counts: boolean): void {
    const flags = counts ? 0 : layout.CQ_EVENTFD_DISABLED;
    Atomics.store(this.words, this.completionFlagsWord, flags);
  }

  /** Hands entries over and/or has completions posted; the count taken, or a negative errno. */
  enter(toSubmit: number, minComplete: number, flags: number): number {
    return this.native.ringEnter(this.enterFd, toSubmit, minComplete, flags | this.enterFlags);
  }

  close(): void {
    if (this.enterFlags !== 0) {
      const argument = ringFdArgument(this.enterFd, 0);
      this.native.ringRegister(this.fd, layout.UNREGISTER_RING_FDS, argument, 1);
    }
    this.native.unmap(this.rings);
    this.native.unmap(this.entries);
    closeSync(this.fd);
  }

  /** This thread's own short name for the ring (kernel 5.18, some 16 a thread), or null. */
  private registerRing(): number | null {
    const argument = ringFdArgument(layout.RING_FD_ANY_INDEX, this.fd);
    const count = this.native.ringRegister(this.fd, layout.REGISTER_RING_FDS, argument, 1);
    return count === 1 ? argument.readUInt32LE(layout.RING_FD_INDEX) : null;
  }

  private map(lengthBytes: number, offset: number): ArrayBuffer {
    const memory = this.native.map(this.fd, lengthBytes, offset);
    assert(typeof memory !== 'number', 'the rings of an io_uring can be mapped');
    return memory;
  }
}

function ringFdArgument(index: number, fd: number): Buffer {
  const argument = Buffer.alloc(layout.RING_FD_BYTES);
  argument.writeUInt32LE(index, layout.RING_FD_INDEX);
  argument.writeBigUInt64LE(BigInt(fd), layout.RING_FD_FILE);
  return argument;
}

function setup(native: Addon, params: Buffer): number {
  let result = -EINVAL;
  for (const flags of [FLAGS_WANTED, FLAGS_OF_OLD_KERNELS]) {
    params.fill(0);
    params.writeUInt32LE(flags, layout.PARAMS_FLAGS);
    params.writeUInt32LE(URING_COMPLETIONS, layout.PARAMS_CQ_ENTRIES);
    result = native.ringSetup(URING_SUBMISSIONS, params);
    if (result !== -EINVAL) break;
  }
  return result;
}

function reasonOf(errno: number): string {
  if (errno === ENOSYS) return 'this kernel has no io_uring';
  if (errno === EPERM) {
    return 'io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a seccomp filter)';
  }
  if (errno === ENOMEM) return 'io_uring has too little locked memory (ulimit -l)';
  return `io_uring_setup failed with ${getSystemErrorName(-errno)}`;
}

/** The operations that this kernel has, of those known here; none where it cannot be asked. */
function operationsOf(native: Addon, fd: number): Set<number> {
  const count = layout.OP_WRITEV_FIXED + 1;
  const probe = Buffer.alloc(layout.PROBE_HEADER_BYTES + count * layout.PROBE_OP_BYTES);
  const supported = new Set<number>();
  if (native.ringRegister(fd, layout.REGISTER_PROBE, probe, count) < 0) return supported;
  for (let operation = 0; operation < count; operation++) {
    const entry = layout.PROBE_HEADER_BYTES + operation * layout.PROBE_OP_BYTES;
    const flags = probe.readUInt16LE(entry + layout.PROBE_OP_FLAGS);
    if ((flags & layout.PROBE_OP_SUPPORTED) !== 0) supported.add(operation);
  }
  return supported;
}
