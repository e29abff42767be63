/** The bench's own programs in C, compiled where they are missing or older than their sources. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';
import { PROGRAMS_DIRECTORY } from './settings';

const SOURCES = join(PROJECT_ROOT, 'test/bench/c');

export type CProgram = 'ring-load' | 'back-end' | 'lay-memory';

/** Path of the program. */
export function cProgram(name: CProgram): string {
  const path = join(PROGRAMS_DIRECTORY, name);
  const built = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newest = Math.max(
    ...readdirSync(SOURCES).map((file) => statSync(join(SOURCES, file)).mtimeMs),
  );
  if (built > newest) return path;
  mkdirSync(PROGRAMS_DIRECTORY, { recursive: true });
  const shared = name === 'lay-memory' ? [] : ['shm-device.c'];
  const sources = [`${name}.c`, ...shared].map((file) => join(SOURCES, file));
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', path, ...sources], { stdio: 'inherit' });
  return path;
}
