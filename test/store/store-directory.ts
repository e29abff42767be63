/** Directories for stores under test, gone after the last test. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A disk that others keep busy makes a sync take seconds, which is no failure. */
const TIMEOUT_MS = 60_000;

/** Makes directories, on the disk; all are removed after the file's tests. */
export function storeDirectories(base = tmpdir()): () => string {
  jest.setTimeout(TIMEOUT_MS);
  const root = mkdtempSync(join(base, 'tapdisk-ts-store-'));
  let made = 0;
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return () => mkdtempSync(join(root, `${made++}-`));
}

/** For tests of many files, which sync too often for a disk: memory, where the host has it so. */
export function fastBase(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

/** The flags of an open file (open(2)), as the kernel has them. */
export function flagsOf(fd: number): number {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  if (flags === null) throw new Error(`no flags of descriptor ${fd}`);
  return parseInt(flags[1], 8);
}

/** Paths below a directory that this process has open, once for each descriptor. */
export function openPaths(directory: string): string[] {
  const paths: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      if (path.startsWith(directory)) paths.push(path);
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return paths;
}
