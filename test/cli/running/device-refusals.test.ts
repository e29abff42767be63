/** Rings and programs that `attach` and `detach` cannot have. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseDevice } from '../../../lib/cli/running/attach-device';
import { releaseDevice } from '../../../lib/cli/running/release-device';
import { tapdiskProgram } from '../../../lib/cli/running/tapdisk-program';
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
