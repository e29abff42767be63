/**
 * Debian 12's packages of the lab, fetched and unpacked into one tree. apt-get is given an empty
 * package database of the lab's own, so the whole closure comes whatever this machine has
 * installed, and nothing is installed on it; root is not needed.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DEBIAN_TREE, inLab } from '../lab/paths';
import { makeMergedTree } from './merged-tree';
import { lines, run } from './shell';
import { keyOf, whenChanged } from './stamp';

const PACKAGES = [
  'xen-hypervisor-4.17-amd64',
  'xen-utils-4.17',
  'xenstore-utils',
  'linux-image-amd64',
  'bash',
  'busybox-static',
  'e2fsprogs',
  'etcd-client',
  'etcd-server',
  'findutils',
  'fio',
  'grep',
  'kmod',
  'mawk',
  'mount',
  'sed',
  'strace',
  'util-linux',
];

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const RELEASE = 'bookworm';

/** @returns a key that changes when the tree does */
export function unpackPackages(): string {
  const key = keyOf({ texts: [...PACKAGES, RELEASE] });
  whenChanged(DEBIAN_TREE, key, () => unpack(download(sourcesList())));
  return key;
}

/**
 * This machine's own sources of Debian 12, or those of the mirror in DEBIAN_MIRROR.
 *
 * @throws Error where neither names any
 */
function sourcesList(): string {
  const sources = sourcesOfMirror() ?? sourcesOfMachine();
  if (sources.length === 0) {
    throw new Error(
      `apt knows no source of Debian's ${RELEASE} here; set DEBIAN_MIRROR to the address of a mirror`,
    );
  }
  return sources.map((source) => `deb [signed-by=${KEYRING}] ${source} main\n`).join('');
}

function sourcesOfMirror(): string[] | null {
  const mirror = process.env.DEBIAN_MIRROR;
  if (!mirror) return null;
  return [`${mirror}/debian ${RELEASE}`, `${mirror}/debian-security ${RELEASE}-security`];
}

function sourcesOfMachine(): string[] {
  const format = '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)';
  return lines(run(['apt-get', 'indextargets', '--format', format])).flatMap((line) => {
    const [origin, component, address, codename] = line.split(' ');
    const isOurs = origin === 'Debian' && component === 'main' && codename.startsWith(RELEASE);
    return isOurs ? [`${address} ${codename}`] : [];
  });
}

/** @returns the .deb files' paths */
function download(sources: string): string[] {
  const home = inLab('apt');
  rmSync(home, { recursive: true, force: true });
  const archives = path.join(home, 'cache', 'archives');
  mkdirSync(path.join(home, 'state', 'lists', 'partial'), { recursive: true });
  mkdirSync(path.join(archives, 'partial'), { recursive: true });
  writeFileSync(path.join(home, 'sources.list'), sources);
  writeFileSync(path.join(home, 'status'), '');
  const settings = {
    'Dir::State': path.join(home, 'state'),
    'Dir::State::status': path.join(home, 'status'),
    'Dir::Cache': path.join(home, 'cache'),
    'Dir::Etc::sourcelist': path.join(home, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Install-Recommends': 'false',
    // Else apt-get, where it runs as root, drops to a user who cannot read the checkout.
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Debug::NoLocking': '1',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  run(['apt-get', ...options, '-qq', 'update']);
  run(['apt-get', ...options, '-qq', '-y', '--download-only', 'install', ...PACKAGES]);
  return readdirSync(archives)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => path.join(archives, name));
}

function unpack(packages: readonly string[]): void {
  rmSync(DEBIAN_TREE, { recursive: true, force: true });
  makeMergedTree(DEBIAN_TREE);
  const into = 'tar -x --keep-directory-symlink --no-same-owner -C "$2"';
  const unpackOne = `set -o pipefail; dpkg-deb --fsys-tarfile "$1" | ${into}`;
  for (const file of packages) run(['bash', '-c', unpackOne, 'bash', file, DEBIAN_TREE]);
  rmSync(inLab('apt'), { recursive: true, force: true });
}
