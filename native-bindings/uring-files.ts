/** Files registered with an io_uring, so that it need not look their descriptors up each time. */
import type { Addon } from './addon';
import { URING_REGISTERED_FILES_MAX } from './limits';
import * as layout from './uring-layout';

const NO_FILE = -1;

/**
 * A sparse table whose slots are the descriptors' own numbers. What has no slot, or the kernel
 * refuses, is used by its descriptor, silently.
 */
export class UringFiles {
  /** By descriptor: SQE_FIXED_FILE where its slot holds its file, else 0. */
  private readonly flags = new Uint16Array(URING_REGISTERED_FILES_MAX);
  private state: 'untried' | 'ready' | 'refused' = 'untried';

  constructor(
    private readonly native: Addon,
    private readonly ringFd: number,
  ) {}

  /** What an entry's first word says of its descriptor. */
  flagOf(fd: number): number {
    return fd < URING_REGISTERED_FILES_MAX ? this.flags[fd] : 0;
  }

  register(fd: number): void {
    if (fd >= URING_REGISTERED_FILES_MAX || !this.ready()) return;
    this.flags[fd] = this.update(fd, fd) ? layout.SQE_FIXED_FILE : 0;
  }

  /** Before the descriptor is closed: its number may be another file's next. */
  unregister(fd: number): void {
    if (this.flagOf(fd) === 0) return;
    this.flags[fd] = 0;
    // Where this fails the file stays open until the slot is used again; its number means it no more.
    this.update(fd, NO_FILE);
  }

  /** Makes the empty table (kernel 5.19; within the limit of open files) when it is first needed. */
  private ready(): boolean {
    if (this.state !== 'untried') return this.state === 'ready';
    const argument = Buffer.alloc(layout.RSRC_BYTES);
    argument.writeUInt32LE(URING_REGISTERED_FILES_MAX, layout.RSRC_REGISTER_COUNT);
    argument.writeUInt32LE(layout.RSRC_REGISTER_SPARSE, layout.RSRC_REGISTER_FLAGS);
    const made = this.call(layout.REGISTER_FILES2, argument, layout.RSRC_BYTES) >= 0;
    this.state = made ? 'ready' : 'refused';
    return made;
  }

  private update(slot: number, fd: number): boolean {
    // One buffer for the request and the descriptor that it points to: both live as long as the call.
    const argument = Buffer.alloc(layout.FILES_UPDATE_BYTES + Int32Array.BYTES_PER_ELEMENT);
    const descriptor = this.native.addressOf(argument) + layout.FILES_UPDATE_BYTES;
    argument.writeUInt32LE(slot, layout.FILES_UPDATE_OFFSET);
    argument.writeBigUInt64LE(BigInt(descriptor), layout.FILES_UPDATE_FDS);
    argument.writeInt32LE(fd, layout.FILES_UPDATE_BYTES);
    return this.call(layout.REGISTER_FILES_UPDATE, argument, 1) === 1;
  }

  private call(opcode: number, argument: Buffer, count: number): number {
    return this.native.ringRegister(this.ringFd, opcode, argument, count);
  }
}
