/** What the kernel and this Node offer any process: system calls, rings, limits. */
import { addonAbsence } from './addon';
import type { HostFeature } from './host-features';
import type { HostFiles } from './host-files';
import { libc } from './libc';
import { LOCKED_BYTES_WANTED, OPEN_FILES_WANTED } from './limits';
import { openIoEngine } from './open-engine';
import { sentenceOf } from '../lib/errors';

const MEBIBYTE = 2 ** 20;

export function processFeatures(files: HostFiles): HostFeature[] {
  return [
    kernel(files),
    foreignFunctions(),
    addonBuilt(),
    ioUring(files),
    lockedMemory(files),
    openFiles(files),
    etcd(files),
  ];
}

function kernel(files: HostFiles): HostFeature {
  const release = files.text('/proc/sys/kernel/osrelease');
  return {
    name: 'kernel',
    present: release !== null,
    required: true,
    found: `${release === null ? 'no Linux' : `Linux ${release}`}, ${process.arch}, Node ${process.versions.node}`,
    missingFor: 'everything: tapdisk-ts runs on Linux',
  };
}

function foreignFunctions(): HostFeature {
  let absence = '';
  try {
    libc();
  } catch (error) {
    absence = sentenceOf(error);
  }
  return {
    name: 'ffi',
    present: absence === '',
    required: true,
    found: absence === '' ? 'ffi-napi loads' : absence,
    missingFor: 'opening and mapping any ring; build it with make deps',
  };
}

function addonBuilt(): HostFeature {
  const absence = addonAbsence();
  return {
    name: 'addon',
    present: absence === '',
    required: false,
    found: absence === '' ? 'the native addon loads' : absence,
    missingFor: 'speed: io_uring and quick wake-ups; build it with make build',
  };
}

/** Tries it: a sysctl, a seccomp filter, or the kernel's age may each be in the way. */
function ioUring(files: HostFiles): HostFeature {
  const ignore = (): void => undefined;
  const engine = openIoEngine(ignore, ignore);
  engine.close();
  const disabled = files.text('/proc/sys/kernel/io_uring_disabled');
  const sysctl = disabled === null ? '' : ` (kernel.io_uring_disabled=${disabled})`;
  return {
    name: 'io_uring',
    present: engine.kind === 'io_uring',
    required: false,
    found: `${engine.reason ?? 'a ring can be made'}${sysctl}`,
    missingFor:
      'speed of the dir store: through threads instead, it does about 0.4 of the requests a second, ' +
      'at seven times the processor time',
  };
}

function lockedMemory(files: HostFiles): HostFeature {
  const bytes = files.softLimit('Max locked memory');
  return {
    name: 'locked-memory',
    present: bytes !== null && bytes >= LOCKED_BYTES_WANTED,
    required: false,
    found: limitText(bytes, MEBIBYTE, ' MiB'),
    missingFor: `registering ring memory with io_uring as another user than root; ulimit -l ${LOCKED_BYTES_WANTED / 1024}`,
  };
}

function openFiles(files: HostFiles): HostFeature {
  const count = files.softLimit('Max open files');
  return {
    name: 'open-files',
    present: count !== null && count >= OPEN_FILES_WANTED,
    required: false,
    found: limitText(count, 1, ''),
    missingFor: `large volumes of many layers; ulimit -n ${OPEN_FILES_WANTED}`,
  };
}

function limitText(limit: number | null, unit: number, unitName: string): string {
  if (limit === null) return 'unknown';
  return limit === Infinity ? 'unlimited' : `${Math.floor(limit / unit)}${unitName}`;
}

/** etcd's client port, in /proc/net/tcp's hexadecimal, with the state LISTEN. */
const ETCD_LISTENS = /:094B [0-9A-F]+:0000 0A/;

function etcd(files: HostFiles): HostFeature {
  const sockets = ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => files.text(path) ?? '');
  const present = sockets.some((table) => ETCD_LISTENS.test(table));
  return {
    name: 'etcd',
    present,
    required: false,
    found: present ? 'something listens on port 2379' : 'nothing listens on port 2379 here',
    missingFor: 'pools of several hosts, unless etcd runs elsewhere; pools of one host need none',
  };
}
