/** The system calls that the local coordination makes, in one place: tests cut it short at each. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';

export interface FileSystem {
  open(path: string, flags: string, mode?: number): Promise<number>;
  close(fd: number): Promise<void>;
  read(fd: number, into: Buffer, position: number): Promise<number>;
  /** Writes all of it. */
  write(fd: number, bytes: Buffer, position: number): Promise<void>;
  fsync(fd: number): Promise<void>;
  truncate(fd: number, lengthBytes: number): Promise<void>;
  /** Bytes. */
  size(fd: number): Promise<number>;
  readText(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  readdir(path: string): Promise<string[]>;
  /** Removes a directory and what is in it; no error where there is none. */
  removeTree(path: string): Promise<void>;
}

const open = promisify(fs.open);
const close = promisify(fs.close);
const fsync = promisify(fs.fsync);
const truncate = promisify(fs.ftruncate);

export const NODE_FILE_SYSTEM: FileSystem = {
  open: (path, flags, mode) => open(path, flags, mode),
  close: (fd) => close(fd),
  read: (fd, into, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, into, 0, into.length, position, (error, count) =>
        error ? reject(error) : resolve(count),
      );
    }),
  write: writeAll,
  fsync: (fd) => fsync(fd),
  truncate: (fd, lengthBytes) => truncate(fd, lengthBytes),
  size: async (fd) => (await promisify<number, fs.Stats>(fs.fstat)(fd)).size,
  readText: (path) => fs.promises.readFile(path, 'utf8'),
  rename: (from, to) => fs.promises.rename(from, to),
  unlink: (path) => fs.promises.unlink(path),
  mkdir: async (path, mode) => void (await fs.promises.mkdir(path, { mode })),
  readdir: (path) => fs.promises.readdir(path),
  removeTree: (path) => fs.promises.rm(path, { recursive: true, force: true }),
};

async function writeAll(fd: number, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += await new Promise<number>((resolve, reject) => {
      fs.write(fd, bytes, written, bytes.length - written, position + written, (error, count) =>
        error ? reject(error) : resolve(count),
      );
    });
  }
}
