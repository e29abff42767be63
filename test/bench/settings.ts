/** What the environment says of a run, and where it happens. */
import { mkdirSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';

export const KIB = 1024;
export const MIB = 2 ** 20;
export const GIB = 2 ** 30;
export const TIB = 2 ** 40;
export const SECTOR_BYTES = 512;
export const CHUNK_BYTES = 4 * MIB;

/** Times each contestant of a row runs, in alternation with the others. */
export const ROUNDS = positive('ROUNDS', 3);
/** Length of one run. */
export const DURATION_MS = positive('DURATION_MS', 700);
/** Size of the disk of a row, all of it written before. */
export const DISK_BYTES = positive('DISK_BYTES', GIB);
/** Where the pools lie: the device that is measured. */
export const BENCH_DIRECTORY = process.env.BENCH_DIR ?? join(PROJECT_ROOT, '.bench');
/** Rings are memory, as a guest's are: on a disk's file system the kernel would write them back. */
export const MEMORY_DIRECTORY = '/dev/shm';
export const RESULTS_FILE = join(BENCH_DIRECTORY, 'results.json');
export const PROGRAMS_DIRECTORY = join(BENCH_DIRECTORY, 'programs');

mkdirSync(BENCH_DIRECTORY, { recursive: true });

/** What the figures of a run depend on, for the first line. */
export function machine(): string {
  const gib = Math.round(totalmem() / GIB);
  return (
    `${cpus().length} × ${cpus()[0].model.trim()}, ${gib} GiB, Linux ${release()}, ` +
    `Node ${process.version}`
  );
}

export function conditions(): string {
  return (
    `disk ${DISK_BYTES / MIB} MiB, chunks ${CHUNK_BYTES / MIB} MiB, ` +
    `medians of ${ROUNDS} runs of ${DURATION_MS} ms in alternation`
  );
}

function positive(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`${name} must be a whole number above 0`);
}
