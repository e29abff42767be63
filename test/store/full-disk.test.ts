/** A disk that is full: errors for what does not fit, nothing else, and on it goes with room. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openIoEngine } from '../../native-bindings/open-engine';
import { DirStore } from '../../lib/store/dir/dir-store';
import { storeDirectories } from './store-directory';
import { expectBytes, pattern, StoreDriver } from './store-driver';

const CHUNK_BYTES = 64 * 1024;
const DISK_BYTES = 1024 * 1024;
const ENOSPC = 28;

let whyNot = '';
// Before storeDirectories, whose own clean-up cannot remove what is mounted.
afterAll(() => {
  if (whyNot === '') execFileSync('umount', [directory]);
});

const directory: string = storeDirectories()();

beforeAll(() => {
  try {
    const size = `size=${DISK_BYTES}`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'none', directory], { stdio: 'pipe' });
  } catch (error) {
    whyNot = `no small file system could be mounted: ${String(error)}`;
    console.warn(`full-disk.test.ts was skipped: ${whyNot}`);
  }
});

test('writes beyond the end fail with ENOSPC, and succeed once there is room', async () => {
  if (whyNot !== '') return;
  const ballast = join(directory, 'ballast');
  writeFileSync(ballast, Buffer.alloc(DISK_BYTES / 2));
  const store = new DirStore({
    directory,
    chunkBytes: CHUNK_BYTES,
    readOnly: false,
    direct: true,
    openEngine: openIoEngine,
  });
  const driver = new StoreDriver(store);
  const errnos: number[] = [];
  for (let chunk = 0; chunk < 20; chunk++) {
    errnos.push(await driver.write({ chunk }, pattern(CHUNK_BYTES, chunk)));
  }
  expect(new Set(errnos)).toEqual(new Set([0, ENOSPC]));
  expect(errnos[19]).toBe(ENOSPC);
  expect(await driver.write({ layer: 2, chunk: 0 }, pattern(CHUNK_BYTES, 1))).toBe(ENOSPC);
  const fitted = errnos.indexOf(ENOSPC);
  for (let chunk = 0; chunk < fitted; chunk++) {
    const bytes = await driver.read({ chunk }, CHUNK_BYTES);
    expectBytes(bytes, pattern(CHUNK_BYTES, chunk));
  }
  expect(await driver.write({ chunk: 0 }, pattern(CHUNK_BYTES, 50))).toBe(0);
  expect(await driver.sync()).toBe(0);
  rmSync(ballast);
  expect(await driver.write({ chunk: 19 }, pattern(CHUNK_BYTES, 19))).toBe(0);
  expectBytes(await driver.read({ chunk: 19 }, CHUNK_BYTES), pattern(CHUNK_BYTES, 19));
  await store.close();
});
