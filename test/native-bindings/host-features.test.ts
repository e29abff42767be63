/** Findings on hosts made of files, and on this one. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type HostFeature, hostFeatures } from '../../native-bindings/host-features';
import { HostFiles } from '../../native-bindings/host-files';
import { temporaryDirectory } from './temporary-directory';

const directory = temporaryDirectory();
let hosts = 0;

/** A host of these files: its findings by name. */
function findings(files: Record<string, string>): Record<string, HostFeature> {
  const root = join(directory, `host${hosts++}`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return byName(hostFeatures(undefined, new HostFiles(root)));
}
function byName(features: HostFeature[]): Record<string, HostFeature> {
  return Object.fromEntries(features.map((feature) => [feature.name, feature]));
}

const DEVICES =
  'Character devices:\n 10 misc\n248 blktap2\n249 tapdev\n\nBlock devices:\n254 tapdev\n';

test('a bare host has no Xen and no blktap, and each says what it is missing for', () => {
  const found = findings({});
  for (const name of ['xen', 'xenstored', 'gntdev', 'evtchn', 'blktap1', 'blktap2', 'etcd']) {
    expect(found[name]).toMatchObject({ name, present: false, required: false });
    expect(found[name].missingFor).not.toBe('');
  }
  expect(found.gntdev.found).toBe('no /dev/xen/gntdev');
  expect(found.kernel).toMatchObject({ present: false, required: true });
  expect(found['locked-memory']).toMatchObject({ present: false, found: 'unknown' });
});

test('a control domain with everything', () => {
  const found = findings({
    '/proc/sys/kernel/osrelease': '6.1.0-13-amd64\n',
    '/proc/devices': DEVICES.replace('248 blktap2', '248 blktap2\n247 blktap'),
    '/proc/misc': ' 58 blktap/control\n',
    '/proc/self/limits':
      'Max open files  1048576  1048576  files\nMax locked memory unlimited unlimited bytes\n',
    '/proc/net/tcp': '   0: 0100007F:094B 00000000:0000 0A 00000000:00000000\n',
    '/sys/hypervisor/type': 'xen\n',
    '/proc/xen/capabilities': 'control_d\n',
    '/run/xenstored/socket': '',
    '/dev/xen/gntdev': '',
    '/dev/xen/evtchn': '',
    '/dev/xen/blktap0': '',
    '/dev/blktap/control': '',
  });
  const absent = Object.values(found).filter((feature) => !feature.present);
  expect(absent.map((feature) => feature.name).filter((name) => name !== 'io_uring')).toEqual([]);
  expect(found.kernel.found).toMatch(/^Linux 6\.1\.0-13-amd64, /);
  expect(found.blktap1.found).toBe('major 247, /dev/xen/blktap0');
  expect(found.blktap2.found).toBe('major 248, misc device blktap/control 58, /dev/blktap/control');
  expect(found['locked-memory'].found).toBe('unlimited');
});

test('a blktap2 driver whose control node nobody made is not enough', () => {
  const found = findings({ '/proc/devices': DEVICES, '/proc/misc': ' 58 blktap-control\n' });
  expect(found.blktap2.present).toBe(false);
  expect(found.blktap2.found).toMatch(/^major 248, misc device blktap-control 58, no \/dev\/xen/);
  expect(found.blktap1.present).toBe(false);
});

test('a block driver of that name is no ring device', () => {
  const devices = 'Character devices:\n 10 misc\n\nBlock devices:\n254 blktap2\n';
  const found = findings({ '/proc/devices': devices, '/dev/blktap/control': '' });
  expect(found.blktap2.present).toBe(false);
});

test('a Xen guest is not a control domain', () => {
  const found = findings({ '/sys/hypervisor/type': 'xen' });
  expect(found.xen).toMatchObject({
    present: false,
    found: 'under Xen, a guest, or xenfs is not mounted',
  });
});

test('low limits are told with what to set', () => {
  const found = findings({
    '/proc/self/limits':
      'Max open files  256  256  files\nMax locked memory 8388608 8388608 bytes\n',
  });
  expect(found['open-files']).toMatchObject({ present: false, found: '256' });
  expect(found['open-files'].missingFor).toContain('ulimit -n 1024');
  expect(found['locked-memory']).toMatchObject({ present: false, found: '8 MiB' });
});

test('this host: ffi and the addon load', () => {
  const found = byName(hostFeatures());
  expect(found.kernel.present).toBe(true);
  expect(found.ffi).toMatchObject({ present: true, required: true });
  expect(found.addon).toMatchObject({ present: true, found: 'the native addon loads' });
  expect(found).not.toHaveProperty('directory');
});

test('a directory is tried with a file that is gone afterwards', () => {
  const found = byName(hostFeatures(directory));
  expect(found.directory.present).toBe(true);
  expect(found.holes.present).toBe(true);
  expect(readdirSync(directory).filter((name) => name.includes('doctor'))).toEqual([]);
});

test('a directory that is not there is no place for a pool', () => {
  const found = byName(hostFeatures('/no/such/directory'));
  expect(found.directory).toMatchObject({
    present: false,
    required: true,
    found: '/no/such/directory: ENOENT',
  });
});
