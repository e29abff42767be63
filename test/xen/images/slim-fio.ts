/**
 * Stand-ins for the libraries of fio's engines for Ceph, Gluster, RDMA, NBD and persistent memory:
 * with the real ones a guest's initramfs is 80 MiB larger, which each guest unpacks in emulation.
 * They are found when fio starts, which is all that its other engines need of them.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { DEBIAN_TREE } from '../lab/paths';
import { lines, run } from './shell';

export const FIO = 'usr/bin/fio';

const STOOD_IN_FOR = [
  'libgfapi.so.0',
  'libibverbs.so.1',
  'libnbd.so.0',
  'libpmem.so.1',
  'libpmemblk.so.1',
  'librados.so.2',
  'librbd.so.1',
  'librdmacm.so.1',
];

/** Makes them in a directory. @returns their paths */
export function standInsForFio(directory: string): string[] {
  const source = path.join(directory, 'stand-in.c');
  const functions = foreignFunctions().map((name) => `void ${name}(void) { abort(); }\n`);
  writeFileSync(source, `#include <stdlib.h>\n${functions.join('')}`);
  return STOOD_IN_FOR.map((name) => {
    const library = path.join(directory, name);
    const flags = ['-shared', '-fPIC', '-fno-builtin', '-w', `-Wl,-soname,${name}`];
    run(['gcc', ...flags, '-o', library, source]);
    return library;
  });
}

/**
 * What fio wants of others than glibc. Those of libraries that are kept are among them, and do no
 * harm: fio names those libraries first.
 */
function foreignFunctions(): string[] {
  const symbols = lines(run(['readelf', '-W', '--dyn-syms', path.join(DEBIAN_TREE, FIO)]));
  const wanted = symbols
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words[3] === 'FUNC' && words[6] === 'UND')
    .map((words) => words[7])
    .filter((name) => !name.includes('@GLIBC_'));
  return [...new Set(wanted.map((name) => name.replace(/@.*/, '')))];
}
