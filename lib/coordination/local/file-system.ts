/** The system calls that the local coordination makes, in one place: tests cut it short at each. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import * as posix from '../../../native-bindings/posix';
import { errnoOf } from '../../errors';
import type { ErrnoCallback } from '../../store/chunk-store';

export interface FileSystem {
  open(path: string, flags: string, mode?: number): Promise<number>;
  close(fd: number): Promise<void>;
  /** Reads until `into` is full or the file ends; resolves to the bytes read. */
  read(fd: number, into: Buffer, position: number): Promise<number>;
  /** Writes all of it. */
  write(fd: number, bytes: Buffer, position: number): Promise<void>;
  fsync(fd: number): Promise<void>;
  truncate(fd: number, lengthBytes: number): Promise<void>;
  /** Bytes. */
  size(fd: number): Promise<number>;
  /** True where the open file is the one that the path names now. */
  isAt(fd: number, path: string): Promise<boolean>;
  readText(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  readdir(path: string): Promise<string[]>;
  /** Removes a directory and what is in it; no error where there is none. */
  removeTree(path: string): Promise<void>;

  /** flock without waiting: false where others' locks are in the way. Held until the file closes. */
  tryLock(fd: number, kind: LockKind): boolean;
  /** Gives a range its disk blocks; nothing where the file system cannot. */
  preallocate(fd: number, lengthBytes: number): void;
  /** First byte at or after `offset` that may be other than zero, or -1. */
  nextData(fd: number, offset: number): number;

  /** Writes all of it; for the path of guests' writes, where a Promise costs too much. */
  writeThen(fd: number, bytes: Buffer, position: number, done: ErrnoCallback): void;
  datasyncThen(fd: number, done: ErrnoCallback): void;
}

export type LockKind = 'shared' | 'exclusive';

const open = promisify(fs.open);
const close = promisify(fs.close);
const fsync = promisify(fs.fsync);
const truncate = promisify(fs.ftruncate);
const fstat = promisify<number, fs.Stats>(fs.fstat);

/** The real one. Files are opened O_CLOEXEC by Node, so that no child process inherits a lock. */
export const NODE_FILE_SYSTEM: FileSystem = {
  open: (path, flags, mode) => open(path, flags, mode),
  close: (fd) => close(fd),
  read: readAll,
  write: (fd, bytes, position) =>
    new Promise((resolve, reject) => {
      writeFrom(fd, bytes, 0, position, (error) => (error === null ? resolve() : reject(error)));
    }),
  fsync: (fd) => fsync(fd),
  truncate: (fd, lengthBytes) => truncate(fd, lengthBytes),
  size: async (fd) => (await fstat(fd)).size,
  isAt: async (fd, path) => {
    const [opened, named] = await Promise.all([fstat(fd), fs.promises.stat(path)]);
    return opened.ino === named.ino && opened.dev === named.dev;
  },
  readText: (path) => fs.promises.readFile(path, 'utf8'),
  rename: (from, to) => fs.promises.rename(from, to),
  unlink: (path) => fs.promises.unlink(path),
  mkdir: (path, mode) => fs.promises.mkdir(path, { mode }).then(() => {}),
  readdir: (path) => fs.promises.readdir(path),
  removeTree: (path) => fs.promises.rm(path, { recursive: true, force: true }),
  tryLock,
  preallocate,
  nextData,
  writeThen: (fd, bytes, position, done) =>
    writeFrom(fd, bytes, 0, position, (error) => done(errnoNumber(error))),
  datasyncThen: (fd, done) => fs.fdatasync(fd, (error) => done(errnoNumber(error))),
};

function tryLock(fd: number, kind: LockKind): boolean {
  try {
    posix.flock(fd, (kind === 'shared' ? posix.LOCK_SH : posix.LOCK_EX) | posix.LOCK_NB);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return false;
    throw error;
  }
}

function preallocate(fd: number, lengthBytes: number): void {
  try {
    posix.preallocate(fd, 0, lengthBytes);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EOPNOTSUPP' && errno !== 'ENOTSUP' && errno !== 'ENOSYS') throw error;
  }
}

function nextData(fd: number, offset: number): number {
  try {
    return posix.lseek(fd, offset, posix.SEEK_DATA);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENXIO') return -1;
    // A file system without holes: everything may be data.
    if (errno === 'EINVAL' || errno === 'EOPNOTSUPP') {
      return offset < fs.fstatSync(fd).size ? offset : -1;
    }
    throw error;
  }
}

async function readAll(fd: number, into: Buffer, position: number): Promise<number> {
  let total = 0;
  while (total < into.length) {
    const from = total;
    const count = await new Promise<number>((resolve, reject) => {
      fs.read(fd, into, from, into.length - from, position + from, (error, bytes) =>
        error === null ? resolve(bytes) : reject(error),
      );
    });
    if (count === 0) break;
    total += count;
  }
  return total;
}

type ErrorCallback = (error: NodeJS.ErrnoException | null) => void;

function writeFrom(
  fd: number,
  bytes: Buffer,
  from: number,
  position: number,
  done: ErrorCallback,
): void {
  fs.write(fd, bytes, from, bytes.length - from, position + from, (error, count) => {
    if (error !== null || from + count >= bytes.length) return done(error);
    writeFrom(fd, bytes, from + count, position, done);
  });
}

/** Node's errors carry a negative errno. */
function errnoNumber(error: NodeJS.ErrnoException | null): number {
  return error === null ? 0 : Math.abs(error.errno ?? EIO);
}

const EIO = 5;
