/** An initramfs: programs of the Debian tree with their libraries, modules, an init, as a cpio. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DEBIAN_TREE } from '../lab/paths';
import { copyModules } from './kernel';
import { makeMergedTree } from './merged-tree';
import { lines, run } from './shell';

export interface InitramfsContent {
  readonly init: string;
  /** Paths in the Debian tree; each goes to /usr/bin, and its libraries to where they were. */
  readonly programs: readonly string[];
  readonly modules: readonly string[];
  /** Files of this machine for /usr/bin. */
  readonly own?: readonly string[];
  /** Libraries of this machine that stand in for those of the same names. */
  readonly standIns?: readonly string[];
  /** Paths in the Debian tree that keep their place. */
  readonly files?: readonly string[];
}

const STAND_IN_PLACE = 'usr/lib/x86_64-linux-gnu';
const DIRECTORIES = ['dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'etc', 'root', 'new'];

/** Writes an uncompressed cpio: unpacking anything takes long in emulation. */
export function buildInitramfs(target: string, content: InitramfsContent): void {
  const root = mkdtempSync(path.join(tmpdir(), 'xen-lab-initramfs-'));
  try {
    fill(root, content);
    const names = run(['find', '.', '-print0'], { cwd: root });
    const archive = ['cpio', '--null', '--create', '--format=newc', '--owner=0:0', '--quiet'];
    writeFileSync(target, run(archive, { cwd: root, input: names }));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function fill(root: string, content: InitramfsContent): void {
  makeMergedTree(root);
  for (const name of DIRECTORIES) mkdirSync(path.join(root, name));
  const bin = path.join(root, 'usr', 'bin');
  const busybox = path.join(DEBIAN_TREE, 'bin', 'busybox');
  cpSync(busybox, path.join(bin, 'busybox'));
  for (const applet of lines(run([busybox, '--list']))) {
    if (applet !== 'busybox') symlinkSync('busybox', path.join(bin, applet));
  }
  for (const program of content.programs) {
    const from = path.join(DEBIAN_TREE, program);
    replace(from, path.join(bin, path.basename(program)));
    for (const library of librariesOf(from, content.standIns ?? [])) {
      const place = library.startsWith(DEBIAN_TREE) ? inTree(library) : STAND_IN_PLACE;
      replace(library, path.join(root, place, path.basename(library)));
    }
  }
  for (const file of content.files ?? []) {
    replace(path.join(DEBIAN_TREE, file), path.join(root, file));
  }
  for (const file of content.own ?? []) replace(file, path.join(bin, path.basename(file)));
  copyModules(content.modules, root);
  cpSync(content.init, path.join(root, 'init'));
}

function replace(from: string, to: string): void {
  rmSync(to, { force: true });
  mkdirSync(path.dirname(to), { recursive: true });
  cpSync(from, to, { dereference: true });
}

/** A library's directory, without the tree before it. */
const inTree = (library: string): string => path.relative(DEBIAN_TREE, path.dirname(library));

/** Asks the tree's own loader, so that this machine's libraries do not matter. */
function librariesOf(program: string, standIns: readonly string[]): string[] {
  const loader = path.join(DEBIAN_TREE, 'usr/lib64/ld-linux-x86-64.so.2');
  const where = ['lib', 'usr/lib'].map((lib) => path.join(DEBIAN_TREE, lib, 'x86_64-linux-gnu'));
  where.unshift(...new Set(standIns.map((library) => path.dirname(library))));
  const listed = lines(run([loader, '--library-path', where.join(':'), '--list', program]));
  const found = listed.map((line) => /=> (\S+)/.exec(line)?.[1] ?? '').filter(existsSync);
  return [loader, ...found];
}
