/** Memory of a known layout for those that are compared: by chance one is several times as fast. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cProgram } from './c-programs';
import { untilUndone } from './left-behind';
import { MEMORY_DIRECTORY, MIB } from './settings';

const HUGE_PAGE_BYTES = 2 * MIB;

/**
 * Where pages that are neighbours for the program lie: in one piece, as a guest with huge pages has
 * them, or anywhere, as one without has them.
 */
export type MemoryLayout = 'gathered' | 'scattered';

/** Of a file in memory that nobody has mapped yet. It is made where it is not there. */
export function layMemory(file: string, layout: MemoryLayout, lengthBytes = 0): void {
  execFileSync(cProgram('lay-memory'), [file, String(lengthBytes), layout], { stdio: 'inherit' });
}

/** Calls with a file of so much such memory, or some more, which is gone after it. */
export async function withMemory<T>(
  layout: MemoryLayout,
  lengthBytes: number,
  use: (file: string) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(MEMORY_DIRECTORY, 'tapdisk-ts-memory-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  const forget = untilUndone(remove);
  try {
    const file = join(directory, 'memory');
    layMemory(file, layout, Math.ceil(lengthBytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
    return await use(file);
  } finally {
    remove();
    forget();
  }
}
