/** The hypervisor and the kernel, unpacked so that nothing is decompressed in emulation; modules. */
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DEBIAN_TREE, VMLINUX, XEN } from '../lab/paths';
import { run } from './shell';

/** Offsets in a bzImage's setup header (Linux, Documentation/x86/boot.rst). */
const SETUP_SECTORS_AT = 0x1f1;
const PAYLOAD_OFFSET_AT = 0x248;
const PAYLOAD_LENGTH_AT = 0x24c;
const SECTOR_BYTES = 512;
/** The kernel's build appends the unpacked size to the compressed payload. */
const PAYLOAD_TRAILER_BYTES = 4;

const MODULES = 'usr/lib/modules';

export function kernelVersion(): string {
  const [version] = readdirSync(path.join(DEBIAN_TREE, MODULES));
  return version;
}

export function unpackKernels(): void {
  const boot = path.join(DEBIAN_TREE, 'boot');
  const xen = readdirSync(boot).find((name) => /^xen-.*\.gz$/.test(name));
  if (xen === undefined) throw new Error(`no hypervisor in ${boot}`);
  writeFileSync(XEN, gunzipSync(readFileSync(path.join(boot, xen))));
  writeFileSync(VMLINUX, unpackBzImage(path.join(boot, `vmlinuz-${kernelVersion()}`)));
}

/** The ELF kernel in a bzImage that was compressed by xz, as Debian's are. */
function unpackBzImage(file: string): Buffer {
  const image = readFileSync(file);
  const start =
    (image[SETUP_SECTORS_AT] + 1) * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_OFFSET_AT);
  const end = start + image.readUInt32LE(PAYLOAD_LENGTH_AT) - PAYLOAD_TRAILER_BYTES;
  return run(['xz', '-dc', '--single-stream'], { input: image.subarray(start, end) });
}

/** Copies modules with all they need below `root`, ready for modprobe there. */
export function copyModules(names: readonly string[], root: string): void {
  const version = kernelVersion();
  const from = path.join(DEBIAN_TREE, MODULES, version);
  const to = path.join(root, MODULES, version);
  mkdirSync(to, { recursive: true });
  for (const name of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo']) {
    cpSync(path.join(from, name), path.join(to, name));
  }
  for (const file of withDependencies(from, names)) {
    cpSync(path.join(from, file), path.join(to, file));
  }
  run(['depmod', '-b', root, version]);
}

/** Paths below the modules' directory. */
function withDependencies(directory: string, names: readonly string[]): Set<string> {
  const dependencies = new Map<string, string[]>();
  const text = readFileSync(path.join(directory, 'modules.dep'), 'utf8');
  for (const line of text.split('\n').filter(Boolean)) {
    const [file, rest] = line.split(':');
    dependencies.set(file, rest.split(' ').filter(Boolean));
  }
  const byName = new Map([...dependencies.keys()].map((file) => [moduleName(file), file]));
  const wanted = new Set<string>();
  for (const name of names) {
    const file = byName.get(moduleName(name));
    if (file === undefined) throw new Error(`kernel ${directory} has no module ${name}`);
    wanted.add(file);
    for (const other of dependencies.get(file) ?? []) wanted.add(other);
  }
  return wanted;
}

const moduleName = (file: string): string => path.basename(file, '.ko').replaceAll('-', '_');

/** Debian makes the list of dependencies where the package is installed; here nothing is. */
export function indexModules(): void {
  run(['depmod', '-b', DEBIAN_TREE, kernelVersion()]);
}
