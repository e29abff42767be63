/** From a minor to its ring's path, and what is said where there is none. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlktapFrontend } from '../../lib/frontend/blktap/blktap-frontend';
import type { BlktapSyscalls } from '../../lib/frontend/blktap/blktap-syscalls';
import { findDevice, parseRingLocation } from '../../lib/frontend/blktap/find-device';
import { identifyModule } from '../../lib/frontend/blktap/identify-module';
import { linuxSyscalls } from '../../lib/frontend/blktap/linux-syscalls';
import { refusal } from './refusal';
import { FakeBlockDevice } from './fake-block-device';
import { FakeKernel } from './fake-kernel';

function hostWith(...paths: string[]): Pick<BlktapSyscalls, 'characterDevice' | 'exists'> {
  return {
    characterDevice: (path) => (paths.includes(path) ? { major: 240, minor: 3 } : undefined),
    exists: (path) => paths.includes(path),
  };
}

test.each(['/dev/xen/blktap3', '/dev/xen/blktap-2/blktap3', '/dev/blktap/blktap3', '/dev/blktap3'])(
  'finds %s by itself',
  (path) => {
    expect(findDevice(3, hostWith(path), '')).toEqual({ kind: 'character-device', path });
  },
);

test('the template of the environment comes first', () => {
  const host = hostWith('/dev/xen/blktap3', '/somewhere/ring3', '/run/rings/3');
  expect(findDevice(3, host, '/somewhere/ring%d').path).toBe('/somewhere/ring3');
  expect(findDevice(3, host, 'shm:/run/rings/%d')).toEqual({ kind: 'shm', path: '/run/rings/3' });
});

test.each([undefined, ''])(
  'one sentence names all that was looked for (template %p)',
  (template) => {
    expect(refusal(() => findDevice(9, hostWith(), template))).toMatchObject({
      code: 'DEVICE_NOT_FOUND',
      message: expect.stringMatching(/minor 9.*\/dev\/xen\/blktap9.*TAPDISK_TS_DEVICE/) as string,
    });
  },
);

test.each(['/dev/xen/blktap%d', 'shm:/run/rings/blktap%d'])(
  'a template that leads nowhere says where: %s',
  (template) => {
    expect(refusal(() => findDevice(9, hostWith(), template))).toMatchObject({
      code: 'DEVICE_NOT_FOUND',
      message: expect.stringContaining('blktap9') as string,
    });
  },
);

test.each(['/dev/xen/blktap', '/dev/%d/%d', 'rings/%d', 'shm:rings/%d', 'shm:'])(
  'a template must be absolute and have one number: %s',
  (template) => {
    expect(refusal(() => findDevice(9, hostWith(), template))).toMatchObject({
      code: 'DEVICE_TEMPLATE_INVALID',
    });
  },
);

test('a location is a path, or shm: and a directory', () => {
  expect(parseRingLocation('shm:/run/x')).toEqual({ kind: 'shm', path: '/run/x' });
  expect(parseRingLocation('/dev/x')).toEqual({ kind: 'character-device', path: '/dev/x' });
});

describe('which module it is', () => {
  test('is told by /proc/devices and sysfs', () => {
    for (const [kind, found] of [
      ['xenserver', 'blktap2-xenserver'],
      ['openxt', 'blktap2-openxt'],
      ['blktap1', 'blktap1'],
    ] as const) {
      const kernel = new FakeKernel(kind, { minor: 5 });
      expect(identifyModule(kernel.path, kernel)).toEqual({ kind: found, minor: 5 });
    }
  });

  test('a device of another driver is refused before it is opened', () => {
    const kernel = new FakeKernel('blktap1');
    kernel.readText = () => 'Character devices:\n240 blktapper\n\nBlock devices:\n240 blktap\n';
    expect(
      refusal(() => BlktapFrontend.open(kernel.path, new FakeBlockDevice(), NO_EVENTS, kernel)),
    ).toMatchObject({
      code: 'BLKTAP_NOT_A_RING',
      message: expect.stringContaining("'blktapper'") as string,
    });
    expect(kernel.calls).toEqual([]);
  });

  test("blktap1's control node, minor 0, is no ring", () => {
    const kernel = new FakeKernel('blktap1', { minor: 0 });
    expect(refusal(() => identifyModule(kernel.path, kernel))).toMatchObject({
      code: 'BLKTAP_NOT_A_RING',
    });
  });
});

test.each([
  ['EBUSY', 'BLKTAP_IN_USE'],
  ['ENXIO', 'BLKTAP_NOT_ALLOCATED'],
  ['EACCES', 'DEVICE_FORBIDDEN'],
  ['EIO', 'BLKTAP_OPEN_FAILED'],
])('a device whose open fails with %s is %s', (errno, code) => {
  const kernel = new FakeKernel('blktap1');
  kernel.open = () => {
    throw Object.assign(new Error(errno), { code: errno });
  };
  expect(
    refusal(() => BlktapFrontend.open(kernel.path, new FakeBlockDevice(), NO_EVENTS, kernel)),
  ).toMatchObject({ code });
});

test('a device that cannot be mapped is closed again', () => {
  const kernel = new FakeKernel('blktap1');
  kernel.map = () => {
    throw Object.assign(new Error('EAGAIN'), { code: 'EAGAIN' });
  };
  expect(
    refusal(() => BlktapFrontend.open(kernel.path, new FakeBlockDevice(), NO_EVENTS, kernel)),
  ).toMatchObject({ code: 'BLKTAP_MAP_FAILED' });
  expect(kernel.calls.at(-1)).toBe('close');
});

test('a device that refuses its set-up is unmapped and closed again', () => {
  const kernel = new FakeKernel('xenserver');
  expect(
    refusal(() =>
      BlktapFrontend.open(kernel.path, new FakeBlockDevice({ sectors: 0 }), NO_EVENTS, kernel),
    ),
  ).toMatchObject({ code: 'BLKTAP_SETUP_FAILED' });
  expect(kernel.calls.slice(-2)).toEqual(['munmap', 'close']);
});

describe("this host's own files", () => {
  test('/dev/null is a character device 1:3; files and nothing are none', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-test-'));
    try {
      writeFileSync(join(directory, 'file'), 'text');
      symlinkSync('/dev/null', join(directory, 'link'));
      expect(linuxSyscalls.characterDevice('/dev/null')).toEqual({ major: 1, minor: 3 });
      expect(linuxSyscalls.characterDevice(join(directory, 'link'))).toEqual({
        major: 1,
        minor: 3,
      });
      expect(linuxSyscalls.characterDevice(join(directory, 'file'))).toBeUndefined();
      expect(linuxSyscalls.characterDevice(join(directory, 'file/below'))).toBeUndefined();
      expect(linuxSyscalls.readText(join(directory, 'file'))).toBe('text');
      expect(linuxSyscalls.readText(join(directory, 'none'))).toBeUndefined();
      expect(linuxSyscalls.exists(directory)).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('/dev/null has no ring', () => {
    expect(
      refusal(() => BlktapFrontend.open('/dev/null', new FakeBlockDevice(), NO_EVENTS)),
    ).toMatchObject({
      code: 'BLKTAP_NOT_A_RING',
      message: expect.stringContaining("'mem'") as string,
    });
  });
});

const NO_EVENTS = { onStopped: () => undefined, onCloseAsked: () => undefined };
