/** The system calls that a blktap front end makes: the seam where a test puts its own kernel. */
import type { MemoryArea } from '../../store/memory-area';

/** A shared mapping; after `unmap` nothing may touch `bytes`. */
export interface KernelMapping extends MemoryArea {
  unmap(): void;
}

/** A file descriptor being watched for readiness, edge-triggered. */
export interface KernelWatch {
  /** poll(2) without waiting: a step of the ring's protocol, whatever it answers. */
  poll(): boolean;
  stop(): void;
}

/** Kind and number of a device node. */
export interface DeviceNode {
  readonly major: number;
  readonly minor: number;
}

/** All calls throw an error whose `code` is the errno's name ("EBUSY"). */
export interface BlktapSyscalls {
  /** The character device at `path`; undefined if there is nothing, or something else. */
  characterDevice(path: string): DeviceNode | undefined;
  /** Contents of a small text file of /proc or /sys; undefined if it is not there. */
  readText(path: string): string | undefined;
  exists(path: string): boolean;
  /** open(2) with O_RDWR | O_CLOEXEC. */
  open(path: string): number;
  close(fd: number): void;
  /** mmap(2): read and write, MAP_SHARED. */
  map(fd: number, lengthBytes: number, offset: number): KernelMapping;
  /** ioctl(2) with an argument by value. */
  ioctl(fd: number, request: number, value: number): number;
  /** ioctl(2) with a structure that the kernel may write back into. */
  ioctlBuffer(fd: number, request: number, argument: Buffer): number;
  watch(fd: number, onReadable: () => void): KernelWatch;
}
