/**
 * Debian 12's packages of the lab, fetched and unpacked into one tree. apt-get is given an empty
 * package database of the lab's own, so the whole closure comes whatever this machine has
 * installed, and nothing is installed on it; root is not needed.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DEBIAN_TREE, inLab } from '../lab/paths';
import { makeMergedTree } from './merged-tree';
import { run } from './shell';
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
const MIRROR = process.env.DEBIAN_MIRROR ?? 'http://deb.debian.org';
const SOURCES_LIST = `deb [signed-by=${KEYRING}] ${MIRROR}/debian bookworm main
deb [signed-by=${KEYRING}] ${MIRROR}/debian-security bookworm-security main
`;

/** @returns a key that changes when the tree does */
export function unpackPackages(): string {
  const key = keyOf({ texts: [...PACKAGES, SOURCES_LIST] });
  whenChanged(DEBIAN_TREE, key, () => unpack(download()));
  return key;
}

/** @returns the .deb files' paths */
function download(): string[] {
  const home = inLab('apt');
  rmSync(home, { recursive: true, force: true });
  const archives = path.join(home, 'cache', 'archives');
  mkdirSync(path.join(home, 'state', 'lists', 'partial'), { recursive: true });
  mkdirSync(path.join(archives, 'partial'), { recursive: true });
  writeFileSync(path.join(home, 'sources.list'), SOURCES_LIST);
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
