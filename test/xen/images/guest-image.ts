/** The guests' initramfs: busybox, ext4 tools, fio, blkfront, and the lab's own static programs. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SOURCES } from '../lab/paths';
import { buildInitramfs } from './initramfs';
import { run } from './shell';
import { FIO, standInsForFio } from './slim-fio';

const GUEST = path.join(SOURCES, 'guest');

/** The last four are for programs that play a front end themselves, from user space. */
const MODULES = [
  'xen-blkfront',
  'ext4',
  'crc32c_generic',
  'xen-gntalloc',
  'xen-gntdev',
  'xen-evtchn',
  'xenfs',
];

const PROGRAMS = [
  'bin/bash',
  'usr/bin/flock',
  'sbin/mke2fs',
  'sbin/e2fsck',
  'sbin/resize2fs',
  'sbin/blkdiscard',
  FIO,
];

/** Every C file of test/xen/guest becomes a static program of its name in the guest's /usr/bin. */
export function buildGuestInitramfs(target: string): void {
  const work = mkdtempSync(path.join(tmpdir(), 'xen-lab-guest-'));
  try {
    const sources = readdirSync(GUEST).filter((name) => name.endsWith('.c'));
    const own = sources.map((name) => compile(path.join(GUEST, name), work));
    buildInitramfs(target, {
      init: path.join(GUEST, 'init'),
      programs: PROGRAMS,
      modules: MODULES,
      files: ['etc/mke2fs.conf'],
      own,
      standIns: standInsForFio(work),
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function compile(source: string, work: string): string {
  const program = path.join(work, path.basename(source, '.c'));
  run(['gcc', '-static', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  return program;
}
