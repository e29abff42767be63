/** dom0's userland: the Debian tree without what nobody reads there, and the lab's own files. */
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DEBIAN_TREE, LAB, ROOT_IMAGE, SOURCES, VMLINUX } from '../lab/paths';
import { imageOfDirectory } from './disk-image';
import { buildGuestInitramfs } from './guest-image';
import { copyModules } from './kernel';
import { lines, run } from './shell';

const LEFT_OUT = ['boot', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/lib/modules'];

const DIRECTORIES = [
  'dev',
  'proc',
  'sys',
  'run',
  'tmp',
  'data',
  'lab',
  'opt',
  'root',
  'var/log/xen',
];

const MODULES = [
  'xen-blkback',
  'xen-evtchn',
  'xen-gntalloc',
  'xen-gntdev',
  'xen-privcmd',
  'xenfs',
  'loop',
  'virtio_console',
];

/** Applets for the programs of packages that nobody's dependencies name: sh, sed, grep, mount, … */
function addBusyboxApplets(root: string): void {
  const busybox = path.join(DEBIAN_TREE, 'bin', 'busybox');
  const present = new Set(['bin', 'sbin'].flatMap((at) => readdirSync(path.join(root, 'usr', at))));
  for (const applet of lines(run([busybox, '--list']))) {
    if (!present.has(applet)) symlinkSync('busybox', path.join(root, 'usr', 'bin', applet));
  }
}

/** This machine's Node: the addon was built for it. */
function addNode(root: string): void {
  cpSync(process.execPath, path.join(root, 'usr', 'bin', 'node'));
}

export function buildRootImage(): void {
  const root = mkdtempSync(path.join(LAB, 'root-'));
  try {
    const excluded = LEFT_OUT.map((name) => `--exclude=./${name}`);
    const tree = ['tar', '-c', ...excluded, '-C', DEBIAN_TREE, '.'];
    run(['bash', '-c', 'set -o pipefail; "${@:2}" | tar -x -C "$1"', 'bash', root, ...tree]);
    for (const name of DIRECTORIES) mkdirSync(path.join(root, name), { recursive: true });
    copyModules(MODULES, root);
    addBusyboxApplets(root);
    addNode(root);
    writeFileSync(path.join(root, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/bash\n');
    writeFileSync(path.join(root, 'etc', 'group'), 'root:x:0:\n');
    writeFileSync(path.join(root, 'etc', 'hosts'), '127.0.0.1 localhost dom0\n');
    const init = path.join(root, 'lab', 'init');
    cpSync(path.join(SOURCES, 'dom0', 'init'), init);
    chmodSync(init, 0o755);
    cpSync(VMLINUX, path.join(root, 'lab', 'vmlinux'));
    buildGuestInitramfs(path.join(root, 'lab', 'guest.cpio'));
    imageOfDirectory(ROOT_IMAGE, root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
