/** What a directory offers as the place of a pool: direct I/O, holes, room. */
import { closeSync, constants, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, sentenceOf } from '../lib/errors';
import type { HostFeature } from './host-features';
import { punchHole } from './posix';

const GIBIBYTE = 2 ** 30;
const PAGE = 4096;

/** Makes a file there, tries it, and removes it. */
export function directoryFeatures(directory: string): HostFeature[] {
  const path = join(directory, `.tapdisk-ts-doctor-${process.pid}`);
  return [
    feature('directory', directory, 'a pool there', () => {
      const { bavail, bsize } = statfsSync(directory);
      tryFile(path, 0, () => undefined);
      return `${directory} can be written, ${Math.floor((bavail * bsize) / GIBIBYTE)} GiB free`;
    }),
    feature('direct-io', directory, 'data that is not cached twice; buffered I/O is used', () => {
      tryFile(path, constants.O_DIRECT, () => undefined);
      return `${directory} takes direct I/O`;
    }),
    feature('holes', directory, 'giving the space of discarded data back', () => {
      tryFile(path, 0, (fd) => {
        writeSync(fd, Buffer.alloc(PAGE), 0, PAGE, 0);
        punchHole(fd, 0, PAGE);
      });
      return `${directory} takes holes`;
    }),
  ];
}

function feature(
  name: string,
  directory: string,
  missingFor: string,
  look: () => string,
): HostFeature {
  const required = name === 'directory';
  try {
    return { name, present: true, required, found: look(), missingFor };
  } catch (error) {
    const found = `${directory}: ${errnoOf(error) ?? sentenceOf(error)}`;
    return { name, present: false, required, found, missingFor };
  }
}

function tryFile(path: string, flags: number, use: (fd: number) => void): void {
  const fd = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | flags, 0o600);
  try {
    unlinkSync(path);
    use(fd);
  } finally {
    closeSync(fd);
  }
}
