/** An ext4 image of a directory, or an empty one, made without root. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { lines, run } from './shell';

/** Room for ext4's own tables beside the files. */
const OVERHEAD = 1.15;
const OVERHEAD_MIB = 16;
const MIB = 2 ** 20;

export function imageOfDirectory(target: string, directory: string): void {
  const [kib] = lines(run(['du', '-sk', '--apparent-size', directory]))[0].split('\t');
  const mib = Math.ceil((Number(kib) / 1024) * OVERHEAD) + OVERHEAD_MIB;
  make(target, mib * MIB, [
    '-O',
    '^has_journal',
    '-N',
    String(countFiles(directory)),
    '-d',
    directory,
  ]);
}

export function emptyImage(target: string, sizeBytes: number): void {
  make(target, sizeBytes, ['-E', 'lazy_itable_init=1,lazy_journal_init=1']);
}

function make(target: string, sizeBytes: number, options: readonly string[]): void {
  rmSync(target, { force: true });
  writeFileSync(target, '');
  truncateSync(target, sizeBytes);
  run(['mke2fs', '-q', '-F', '-t', 'ext4', '-m', '0', ...options, target]);
}

/** With some to spare: mke2fs keeps a few for itself. */
function countFiles(directory: string): number {
  return run(['find', directory, '-printf', 'x']).length + 1024;
}
