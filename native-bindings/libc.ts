/** The C library's functions through ffi-napi, loaded when the first of them is called. */
import { isMainThread } from 'node:worker_threads';
import { TapdiskError } from '../lib/errors';
import { SystemCallError } from './system-call-error';

/** A foreign function; arguments and result are those of its declaration below. */
export interface ForeignFunction {
  (...values: unknown[]): number;
  async(...values: unknown[]): void;
}

/**
 * The declarations. Variable-argument functions are declared with the arguments they are used
 * with: the calling conventions of Linux on x86-64 and arm64 pass those alike. A name may be
 * declared twice under aliases. off_t, size_t and addresses are 64 bits.
 */
const DECLARATIONS = {
  open: ['open', 'int', ['string', 'int', 'int']],
  close: ['close', 'int', ['int']],
  ioctlNumber: ['ioctl', 'int', ['int', 'ulong', 'int64']],
  ioctlPointer: ['ioctl', 'int', ['int', 'ulong', 'pointer']],
  mmap: ['mmap', 'int64', ['int64', 'size_t', 'int', 'int', 'int', 'int64']],
  munmap: ['munmap', 'int', ['int64', 'size_t']],
  flock: ['flock', 'int', ['int', 'int']],
  mkfifo: ['mkfifo', 'int', ['string', 'uint']],
  lseek: ['lseek', 'int64', ['int', 'int64', 'int']],
  fallocate: ['fallocate', 'int', ['int', 'int', 'int64', 'int64']],
  poll: ['poll', 'int', ['pointer', 'ulong', 'int']],
  epollCreate: ['epoll_create1', 'int', ['int']],
  epollControl: ['epoll_ctl', 'int', ['int', 'int', 'int', 'pointer']],
  epollWait: ['epoll_wait', 'int', ['int', 'pointer', 'int', 'int']],
  syscall: ['syscall', 'int', ['long', 'long', 'long']],
  eventfd: ['eventfd', 'int', ['uint', 'int']],
  clockGettime: ['clock_gettime', 'int', ['int', 'pointer']],
} as const;

export type LibcName = keyof typeof DECLARATIONS;

interface Libc {
  readonly ref: typeof import('ref-napi');
  readonly errno: () => number;
  readonly functions: Record<LibcName, ForeignFunction>;
}

let loaded: Libc | undefined;

/**
 * Loads ffi-napi once. Main thread only: ffi-napi crashes the process when a worker thread that
 * loaded it ends.
 */
export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (!isMainThread) {
    throw new TapdiskError(
      'FFI_MAIN_THREAD_ONLY',
      'the C library was called from a worker thread; call it from the main thread',
    );
  }
  const modules = loadModules();
  loaded = { ref: modules.ref, errno: modules.ffi.errno, functions: declared(modules.ffi) };
  return loaded;
}

/** Declares every function now, for those whose guest will wait when they are first called. */
export function prepareLibc(): void {
  const { functions } = libc();
  for (const name of Object.keys(DECLARATIONS)) void functions[name as LibcName];
}

/**
 * Each is declared when it is first called: ffi-napi tells V8 that a function's pointer holds a GiB,
 * and V8 collects all garbage for that, some ten milliseconds a function.
 */
function declared(ffi: typeof import('ffi-napi')): Record<LibcName, ForeignFunction> {
  const library = ffi.DynamicLibrary();
  const functions = {} as Record<LibcName, ForeignFunction>;
  for (const [name, [symbol, result, values]] of Object.entries(DECLARATIONS)) {
    const declare = (): ForeignFunction => {
      const types = values as unknown as string[];
      const declaration: unknown = ffi.ForeignFunction(library.get(symbol), result, types);
      Object.defineProperty(functions, name, { value: declaration });
      return declaration as ForeignFunction;
    };
    Object.defineProperty(functions, name, { configurable: true, get: declare });
  }
  return functions;
}

/**
 * Calls a function whose failure is a result of -1, again as long as a signal interrupts it.
 *
 * @throws SystemCallError
 */
export function call(name: LibcName, values: readonly unknown[], path?: string): number {
  const { functions, errno } = libc();
  for (;;) {
    const result = functions[name](...values);
    if (result !== -1) return result;
    const number = errno();
    if (number !== EINTR) throw new SystemCallError(DECLARATIONS[name][0], number, path);
  }
}

/** Bytes at an address that stays valid for as long as anybody uses them. */
export function bytesAt(address: number, lengthBytes: number): Buffer {
  const { ref } = libc();
  const pointer = Buffer.alloc(8);
  pointer.writeBigUInt64LE(BigInt(address));
  return ref.readPointer(pointer, 0, lengthBytes);
}

const EINTR = 4;

function loadModules(): { ffi: typeof import('ffi-napi'); ref: typeof import('ref-napi') } {
  try {
    /* eslint-disable @typescript-eslint/no-require-imports -- imports would cost every command
       20 ms and 9 MiB, and most need neither module */
    return {
      ffi: require('ffi-napi') as typeof import('ffi-napi'),
      ref: require('ref-napi') as typeof import('ref-napi'),
    };
    /* eslint-enable @typescript-eslint/no-require-imports */
  } catch (cause) {
    throw new TapdiskError(
      'FFI_MISSING',
      "ffi-napi could not be loaded, so no device can be opened; run 'make deps' to build it",
      { cause },
    );
  }
}
