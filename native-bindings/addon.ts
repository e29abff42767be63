/** Loads the project's own addon, which holds what runs per batch or per wake-up. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sentenceOf } from '../lib/errors';

/** A watch of the addon; opaque. */
export interface AddonWatch {
  readonly watch: unique symbol;
}

/** A linger of the addon; opaque. */
export interface AddonLinger {
  readonly linger: unique symbol;
}

/**
 * The addon's functions (addon/addon.c). Those that return a number return a negative errno when
 * the call failed; none throws, except on arguments of the wrong type.
 */
export interface Addon {
  /** io_uring_setup(2); `params` is the 120 bytes of struct io_uring_params, filled in. */
  ringSetup(entries: number, params: Uint8Array): number;
  /** io_uring_enter(2). */
  ringEnter(fd: number, toSubmit: number, minComplete: number, flags: number): number;
  /** io_uring_register(2). */
  ringRegister(fd: number, opcode: number, argument: Uint8Array | null, count: number): number;
  /** mmap(2), MAP_SHARED, read and write; never unmapped by the garbage collector. */
  map(fd: number, lengthBytes: number, offsetBytes: number): ArrayBuffer | number;
  /** munmap(2) of what `map` returned, whose bytes vanish (length 0) instead of faulting. */
  unmap(memory: ArrayBuffer): number;
  /** Address of the first byte; it stays for as long as the bytes are referenced. */
  addressOf(bytes: Uint8Array): number;
  /** eventfd(2), non-blocking. */
  eventfd(): number;
  /** Reads an eventfd empty; its count, or -11 (EAGAIN) where it was. */
  drainEventfd(fd: number): number;
  /** write(2) and read(2), without the fs module's machinery: for doorbells. */
  write(fd: number, bytes: Uint8Array): number;
  read(fd: number, bytes: Uint8Array): number;
  /**
   * sendmsg(2) with MSG_DONTWAIT and MSG_NOSIGNAL; `vectors` is an array of `count` struct iovec.
   * Bytes sent, or -11 (EAGAIN) where the socket takes none now.
   */
  sendVector(fd: number, vectors: Uint8Array, count: number): number;
  /** fcntl(2) F_DUPFD_CLOEXEC: another descriptor of the same open file. */
  duplicate(fd: number): number;
  /** setsockopt(2) SO_SNDBUF; the kernel doubles it, and keeps to net.core.wmem_max before. */
  setSendBuffer(fd: number, bytes: number): number;
  /** ioctl(2) with an argument by value. */
  ioctl(fd: number, request: number, value: number): number;
  /** poll(2) for POLLIN without waiting; the bits seen. */
  pollNow(fd: number): number;
  /**
   * Calls back whenever `fd` becomes readable, once an edge. Holds its own epoll file with
   * EPOLLET, which libuv polls.
   */
  watchEdge(fd: number, onReadable: () => void): AddonWatch | number;
  /** Calls back while `fd` is readable, as libuv does. */
  watchLevel(fd: number, onReadable: () => void): AddonWatch | number;
  /** Whether the watch keeps the process alive; it does at first. */
  watchReference(watch: AddonWatch, keepAlive: boolean): void;
  /**
   * Prepares waiting in an io_uring that can bound its waits. From `lingerStart` on io_uring_enter
   * is called in turns of at most `turnUs` in libuv's prepare phase; `onEntered` is called after
   * each. `control` is the words of uring-control.ts, shared.
   *
   * A call waits for a completion, but no longer than until libuv's next timer, and until nothing
   * was heard for `lingerUs`; and not at all while the poll of `backendFd` is not armed.
   */
  lingerNew(
    enterFd: number,
    enterFlags: number,
    control: Uint8Array,
    lingerUs: number,
    turnUs: number,
    onEntered: () => void,
  ): AddonLinger | number;
  lingerStart(linger: AddonLinger): void;
  lingerStop(linger: AddonLinger): void;
  /** Stops for good; no call back comes afterwards. */
  lingerClose(linger: AddonLinger): void;
  /** The epoll file of libuv's loop: readable while one of the loop's files is ready. */
  backendFd(): number;
  /**
   * Milliseconds of CLOCK_BOOTTIME, with their fraction. Absent from an addon that was built before
   * it had this function.
   */
  bootTimeMs?(): number;
  /** Ends a watch; no call back comes afterwards. The watched file may be closed at once. */
  watchStop(watch: AddonWatch): void;
}

let loaded: Addon | null | undefined;
let whyNot = '';

/** The addon, or null where it is not built or TAPDISK_TS_NO_ADDON forbids it. */
export function addon(): Addon | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

/** Why `addon()` is null, in a few words; empty where it is not. */
export function addonAbsence(): string {
  return addon() === null ? whyNot : '';
}

const FILE = 'addon/build/Release/tapdisk_native.node';

function load(): Addon | null {
  if ((process.env.TAPDISK_TS_NO_ADDON ?? '') !== '') {
    whyNot = 'TAPDISK_TS_NO_ADDON is set';
    return null;
  }
  // Beside this file in the source tree; two levels up from the compiled one in dist.
  const path = [join(__dirname, FILE), join(__dirname, '../../native-bindings', FILE)].find(
    existsSync,
  );
  if (path === undefined) {
    whyNot = "it is not built; run 'make build'";
    return null;
  }
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- no import loads an addon
    return require(path) as Addon;
  } catch (error) {
    whyNot = `${path} could not be loaded (${sentenceOf(error).split('\n')[0]})`;
    return null;
  }
}
