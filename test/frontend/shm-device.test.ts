/** Making, opening, refusing and removing stand-in devices. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import {
  BLKTAP_GEOMETRY,
  type ShmGeometry,
  shmFileBytes,
  shmSlots,
} from '../../lib/frontend/shm/shm-geometry';
import { refusal } from './refusal';
import { temporaryDirectory } from './temporary-directory';

let directory: string;

beforeEach(() => {
  directory = join(temporaryDirectory(), 'blktap7');
});

function withGeometry(change: Record<string, unknown>): { code: string; message: string } {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  const text = JSON.stringify({ ...BLKTAP_GEOMETRY, ...change });
  writeFileSync(join(directory, 'device.json'), text);
  return refusal(() => ShmDevice.open(directory));
}

test('a device of blktap1 has exactly its 353 pages, and is private', () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  expect(statSync(join(directory, 'ring')).size).toBe(353 * 4096);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(join(directory, 'ring')).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, 'to-back')).isFIFO()).toBe(true);
  expect(ShmDevice.open(directory).geometry).toEqual(BLKTAP_GEOMETRY);
});

test.each([
  [1, 32],
  [2, 64],
  [4, 128],
  [8, 256],
  [16, 512],
])('%i ring pages hold %i slots, in every ABI', (ringPages, slots) => {
  for (const abi of ['native', 'x86_32', 'blktap2'] as const) {
    const geometry: ShmGeometry = { ...BLKTAP_GEOMETRY, abi, ringPages };
    expect(shmSlots(geometry)).toBe(slots);
    expect(shmFileBytes(geometry)).toBe((ringPages + slots * 11) * 4096);
  }
});

test('the largest device can be made: its memory is taken only where it is touched', () => {
  const geometry: ShmGeometry = {
    ...BLKTAP_GEOMETRY,
    ringPages: 16,
    addressing: 'page',
    dataPagesPerSlot: 257,
    indirectSegmentsMax: 256,
  };
  const device = ShmDevice.create(directory, geometry);
  const mapping = device.map();
  mapping.bytes[mapping.bytes.length - 1] = 1;
  expect(statSync(join(directory, 'ring')).blocks * 512).toBeLessThan(1024 * 1024);
  mapping.unmap();
});

test('remove leaves nothing, and is no error where there is nothing', () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  writeFileSync(join(directory, 'backend.json.new'), '{');
  ShmDevice.remove(directory);
  expect(existsSync(directory)).toBe(false);
  ShmDevice.remove(directory);
});

test("remove does not take what is not the device's", () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  writeFileSync(join(directory, 'notes'), '');
  expect(refusal(() => ShmDevice.remove(directory)).code).toBe('SHM_REMOVE_FAILED');
  expect(existsSync(join(directory, 'notes'))).toBe(true);
});

test('create refuses a place that is taken, or that cannot be', () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  expect(refusal(() => ShmDevice.create(directory, BLKTAP_GEOMETRY)).code).toBe(
    'SHM_DEVICE_EXISTS',
  );
  const nowhere = join(directory, 'missing/blktap1');
  expect(refusal(() => ShmDevice.create(nowhere, BLKTAP_GEOMETRY)).code).toBe('SHM_CREATE_FAILED');
});

test('a directory without device.json is no device', () => {
  expect(refusal(() => ShmDevice.open(directory)).code).toBe('SHM_DEVICE_NOT_FOUND');
  mkdirSync(directory);
  expect(refusal(() => ShmDevice.open(directory)).code).toBe('SHM_DEVICE_NOT_FOUND');
});

test.each([
  ['another version', { version: 2 }, 'version'],
  ['an unknown ABI', { abi: 'arm' }, 'abi'],
  ['3 ring pages', { ringPages: 3 }, 'ringPages'],
  ['32 ring pages', { ringPages: 32 }, 'ringPages'],
  ['0 data pages', { dataPagesPerSlot: 0 }, 'dataPagesPerSlot'],
  ['half a data page', { dataPagesPerSlot: 11.5 }, 'dataPagesPerSlot'],
  ['too many segments', { indirectSegmentsMax: 257 }, 'indirectSegmentsMax'],
  ['indirect requests by slot', { indirectSegmentsMax: 8 }, 'addressing "page"'],
  ['grants on blktap2', { abi: 'blktap2', addressing: 'page' }, 'addressing "slot"'],
  [
    'no room for the indirect page',
    { addressing: 'page', indirectSegmentsMax: 11 },
    'more than indirectSegmentsMax',
  ],
  ['an unknown field', { colour: 'red' }, 'colour'],
])('device.json with %s is refused', (_, change, why) => {
  const { code, message } = withGeometry(change);
  expect(code).toBe('SHM_DEVICE_INVALID');
  expect(message).toContain(why);
});

test.each([
  ['not JSON', '{"version":1,'],
  ['no object', '[]'],
  ['too long', ' '.repeat(5000)],
])('device.json that is %s is refused', (_, text) => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  writeFileSync(join(directory, 'device.json'), text);
  expect(refusal(() => ShmDevice.open(directory)).code).toBe('SHM_DEVICE_INVALID');
});

test.each([0, 352 * 4096, 353 * 4096 - 1, 354 * 4096])(
  'a ring file of %i bytes is refused before it is mapped',
  (bytes) => {
    ShmDevice.create(directory, BLKTAP_GEOMETRY);
    truncateSync(join(directory, 'ring'), bytes);
    const { code, message } = refusal(() => ShmDevice.open(directory));
    expect(code).toBe('SHM_DEVICE_INVALID');
    expect(message).toContain(`has ${bytes} bytes`);
  },
);

test('a doorbell that is no FIFO is refused', () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  rmSync(join(directory, 'to-front'));
  writeFileSync(join(directory, 'to-front'), '');
  expect(refusal(() => ShmDevice.open(directory)).code).toBe('SHM_DEVICE_INVALID');
});

test('a directory that others can enter is refused', () => {
  ShmDevice.create(directory, BLKTAP_GEOMETRY);
  chmodSync(directory, 0o755);
  expect(refusal(() => ShmDevice.open(directory)).code).toBe('SHM_DEVICE_FORBIDDEN');
});
