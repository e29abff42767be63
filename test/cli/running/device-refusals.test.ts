/** Rings and programs that `attach` and `detach` cannot have. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseDevice } from '../../../lib/cli/running/attach-device';
import { releaseDevice } from '../../../lib/cli/running/release-device';
import { ringsOfStandIn } from '../../../lib/frontend/shm/shm-queues';
import { tapdiskProgram } from '../../../lib/control/tapdisk-program';
import { refusal } from '../../frontend/refusal';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-devices-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a place for stand-in devices that is full', () => {
  for (let minor = 0; minor < 256; minor++) {
    mkdirSync(join(directory, `blktap${minor}`));
    writeFileSync(join(directory, `blktap${minor}`, 'ring'), '');
  }
  const { code, message } = refusal(() => chooseDevice(`shm:${directory}`, undefined, {}));
  expect(code).toBe('DEVICE_MINORS_EXHAUSTED');
  expect(message).toContain(`up to ${directory}/blktap255 exist`);
});

test('a device that is neither a stand-in nor a ring of blktap2', () => {
  const { code, message } = refusal(() => releaseDevice('/dev/nowhere/blktap9'));
  expect(code).toBe('DEVICE_NOT_REMOVABLE');
  expect(message).toContain('/dev/nowhere/blktap9 stays');
});

test('a device of another driver, whatever its minor number', () => {
  expect(refusal(() => releaseDevice('/dev/null')).code).toBe('DEVICE_NOT_REMOVABLE');
});

test('a directory that is no stand-in device is not removed', () => {
  expect(refusal(() => releaseDevice(`shm:${directory}`)).code).toBe('SHM_DEVICE_NOT_FOUND');
  expect(() => rmSync(directory, { recursive: true })).not.toThrow();
});

test('an installation without the program', () => {
  const { code, message } = refusal(() => tapdiskProgram({}, directory));
  expect(code).toBe('TAPDISK_PROGRAM_NOT_FOUND');
  expect(message).toContain('TAPDISK_TS_PROGRAM');
});

describe('queues', () => {
  const choose = (queues: number | undefined, minor?: number, device = `shm:${directory}`) =>
    chooseDevice(device, minor, {}, queues);

  test('are as many as asked for, and a device that is there keeps those it has', () => {
    const { undo } = choose(3, 4);
    const place = join(directory, 'blktap4');
    expect(ringsOfStandIn(place)).toHaveLength(3);
    expect(() => choose(3, 4)).not.toThrow();
    expect(() => choose(undefined, 4)).not.toThrow();
    expect(() => choose(3, 4, `shm:${place}`)).not.toThrow();
    for (const device of [`shm:${directory}`, `shm:${place}`]) {
      const { code, message } = refusal(() => choose(2, 4, device));
      expect(code).toBe('DEVICE_OPTION_INVALID');
      expect(message).toContain('its queues are 3, not 2');
    }
    undo();
    expect(existsSync(place)).toBe(false);
  });

  test('go with the ring', () => {
    choose(2, 5);
    releaseDevice(`shm:${join(directory, 'blktap5')}`);
    expect(existsSync(join(directory, 'blktap5'))).toBe(false);
  });

  test.each([0, 17, 1.5, NaN])('cannot be %d', (queues) => {
    const { code, message } = refusal(() => choose(queues));
    expect([code, message]).toEqual([
      'DEVICE_OPTION_INVALID',
      expect.stringContaining('use 1 to 16'),
    ]);
  });

  test.each(['auto', '/dev/xen/blktap3'])('are not for %s', (device) => {
    const { code, message } = refusal(() => choose(2, 3, device));
    expect([code, message]).toEqual([
      'DEVICE_OPTION_INVALID',
      expect.stringContaining('Only a stand-in device'),
    ]);
  });
});
