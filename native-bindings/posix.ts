/**
 * System calls that Node has no function for, or not with the flags that devices need.
 *
 * Control plane only: a call costs 10 to 30 microseconds and blocks the event loop, and the first
 * one loads ffi-napi, a tenth of a second. Main thread only. Every failure throws a
 * SystemCallError. Offsets and lengths are bytes up to 2^53.
 */
import { assert } from '../lib/assert';
import { addon } from './addon';
import { call } from './libc';
import { SystemCallError } from './system-call-error';

export { SystemCallError };

/** Flags of open, asm-generic/fcntl.h (x86-64). Node's fs.constants has the others. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000;
export const O_CLOEXEC = 0o2000000;

/** Protection and flags of mmap, asm-generic/mman-common.h. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;

/** Operations of flock. */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** Origins of lseek. */
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** Modes of fallocate, linux/falloc.h. */
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;

/** Events of poll and epoll (the same numbers). */
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
export const EPOLLET = 0x80000000;

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;

const EPOLL_CLOEXEC = O_CLOEXEC;
const EFD_NONBLOCK = O_NONBLOCK;
const EFD_CLOEXEC = O_CLOEXEC;

/** Opens a file; O_CLOEXEC is always added, since a device stays busy while a child has it. */
export function open(path: string, flags: number, mode = 0o600): number {
  return call('open', [path, flags | O_CLOEXEC, mode], path);
}

export function close(fd: number): void {
  call('close', [fd]);
}

/**
 * ioctl with an argument by value (a safe integer), or with a buffer that the kernel reads or
 * writes: the caller gives it the size that the request demands. With the addon it costs no more
 * than the call itself: a device is kicked so once a batch.
 *
 * @returns the call's result, 0 or positive
 */
export function ioctl(fd: number, request: number, argument: number | Buffer = 0): number {
  const native = addon();
  if (typeof argument !== 'number') {
    if (native === null) return call('ioctlPointer', [fd, request, argument]);
    return checked('ioctl', native.ioctl(fd, request, native.addressOf(argument)));
  }
  assert(Number.isSafeInteger(argument), 'an ioctl argument is a safe integer');
  if (native !== null) return checked('ioctl', native.ioctl(fd, request, argument));
  return call('ioctlNumber', [fd, request, argument]);
}

/** Maps a file; returns the address. Most callers want mapping.ts. */
export function mmap(
  fd: number,
  lengthBytes: number,
  offsetBytes = 0,
  protection = PROT_READ | PROT_WRITE,
  flags = MAP_SHARED,
): number {
  checkOffset(offsetBytes);
  return call('mmap', [0, lengthBytes, protection, flags, fd, offsetBytes]);
}

/** Unmaps; whoever still has bytes of it dies of SIGSEGV at the next touch. */
export function munmap(address: number, lengthBytes: number): void {
  call('munmap', [address, lengthBytes]);
}

/** Locks an open file; with LOCK_NB a lock held elsewhere throws EAGAIN (EWOULDBLOCK). */
export function flock(fd: number, operation: number): void {
  call('flock', [fd, operation]);
}

/** Makes a FIFO; the process's umask is applied to `mode`. */
export function mkfifo(path: string, mode = 0o600): void {
  call('mkfifo', [path, mode], path);
}

/** Moves a file's offset and returns it. SEEK_DATA and SEEK_HOLE throw ENXIO beyond the last one. */
export function lseek(fd: number, offsetBytes: number, origin: number): number {
  assert(Number.isSafeInteger(offsetBytes), 'a file offset is a safe integer');
  return call('lseek', [fd, offsetBytes, origin]);
}

/** fallocate with any mode; see punchHole and preallocate. */
export function fallocate(
  fd: number,
  mode: number,
  offsetBytes: number,
  lengthBytes: number,
): void {
  checkOffset(offsetBytes);
  checkOffset(lengthBytes);
  call('fallocate', [fd, mode, offsetBytes, lengthBytes]);
}

/** Makes a range read as zeros and gives its blocks back; the file's size stays. */
export function punchHole(fd: number, offsetBytes: number, lengthBytes: number): void {
  fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
}

/** Takes a range's blocks, so that writing there cannot fail with ENOSPC; the size stays. */
export function preallocate(fd: number, offsetBytes: number, lengthBytes: number): void {
  fallocate(fd, FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
}

/** Waits for events on one file; returns the bits that were seen, 0 after the time-out. */
export function poll(fd: number, events: number, timeoutMs: number): number {
  const entry = Buffer.alloc(POLLFD_BYTES);
  entry.writeInt32LE(fd, 0);
  entry.writeInt16LE(events, 4);
  call('poll', [entry, 1, timeoutMs]);
  return entry.readInt16LE(6);
}

const POLLFD_BYTES = 8;

/** A new epoll file. */
export function epollCreate(): number {
  return call('epollCreate', [EPOLL_CLOEXEC]);
}

/** Adds, changes or removes a watched file; events carry `fd` back as their data. */
export function epollControl(epollFd: number, operation: number, fd: number, events = 0): void {
  const event = Buffer.alloc(EPOLL_EVENT_BYTES);
  event.writeUInt32LE(events >>> 0, 0);
  event.writeInt32LE(fd, EPOLL_EVENT_DATA);
  call('epollControl', [epollFd, operation, fd, event]);
}

/** x86-64 packs struct epoll_event (linux/eventpoll.h, EPOLL_PACKED); others do not. */
export const EPOLL_EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EPOLL_EVENT_DATA = process.arch === 'x64' ? 4 : 8;

/** Room for `count` events of epollWait. */
export function epollEvents(count: number): Buffer {
  return Buffer.alloc(count * EPOLL_EVENT_BYTES);
}

/** Waits; returns how many events were written into `events`. */
export function epollWait(epollFd: number, events: Buffer, timeoutMs: number): number {
  return call('epollWait', [epollFd, events, events.length / EPOLL_EVENT_BYTES, timeoutMs]);
}

/** The watched file of the event at `index`. */
export function epollEventFd(events: Buffer, index: number): number {
  return events.readInt32LE(index * EPOLL_EVENT_BYTES + EPOLL_EVENT_DATA);
}

/** A new, non-blocking event counter (eventfd(2)); 8-byte reads and writes of a counter. */
export function eventfd(initial = 0): number {
  return call('eventfd', [initial, EFD_NONBLOCK | EFD_CLOEXEC]);
}

function checked(syscall: string, result: number): number {
  if (result < 0) throw new SystemCallError(syscall, -result);
  return result;
}

function checkOffset(bytes: number): void {
  assert(Number.isSafeInteger(bytes) && bytes >= 0, 'a file offset is a safe integer');
}
