/** Disks that are full or fail: what is refused, what goes on, and that nothing is harmed. */
import { constants } from 'node:os';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { NODE_FILE_SYSTEM, type FileSystem } from '../../../lib/coordination/local/file-system';
import { openLocalCoordination } from '../../../lib/coordination/local/local-coordination';
import { CHUNK, commit, loadEntries, MIB, READ, sync, WRITE } from '../pool-under-test';
import { makeLocalPool, type LocalPoolUnderTest } from './local-pool';

const { ENOSPC, EIO } = constants.errno;

let pool: LocalPoolUnderTest;
let layer: number;

beforeEach(async () => {
  pool = await makeLocalPool();
  const here = await pool.open();
  ({ layer } = await here.create({ name: 'a', sizeBytes: 64 * CHUNK, chunkBytes: CHUNK }));
});
afterEach(() => pool.dispose());

function failure(code: 'ENOSPC' | 'EIO'): Error {
  return Object.assign(new Error(`${code}: no luck`), { code, errno: -constants.errno[code] });
}

const openOn = (changes: Partial<FileSystem>) =>
  openLocalCoordination({
    directory: pool.directory,
    fileSystem: { ...NODE_FILE_SYSTEM, ...changes },
  });

/** New files and larger ones are refused; bytes that have their blocks can be overwritten. */
const FULL_DISK: Partial<FileSystem> = {
  open: (path, flags, mode) =>
    flags.includes('x')
      ? Promise.reject(failure('ENOSPC'))
      : NODE_FILE_SYSTEM.open(path, flags, mode),
};

it('a full disk refuses new volumes and leaves nothing of them', async () => {
  const view = await openOn({
    preallocate: () => {
      throw failure('ENOSPC');
    },
  });
  await expect(view.create({ name: 'b', sizeBytes: MIB, chunkBytes: CHUNK })).rejects.toMatchObject(
    { code: 'NO_SPACE', message: expect.stringContaining(pool.directory) as string },
  );
  expect(await view.names()).toEqual(['a']);
  expect(readdirSync(join(pool.directory, 'creating'))).toEqual([]);
});

it('a full disk lets volumes be attached, written and released', async () => {
  const view = await openOn(FULL_DISK);
  const attachment = await view.attach('a', WRITE);
  expect(attachment.record.epoch).toBe(1);
  expect(await view.owner('a')).toMatchObject({ pid: process.pid });
  expect(await commit(attachment, [{ chunk: 63, layer }])).toBe(0);
  expect(await sync(attachment)).toBe(0);
  await attachment.release();
  const reader = await view.attach('a', READ);
  expect(reader.uncleanBefore).toBe(false);
  expect(await loadEntries(reader)).toEqual([[63, layer]]);
  await reader.release();
});

it('a full disk refuses a new layer and leaves the old one in use', async () => {
  const view = await openOn(FULL_DISK);
  const attachment = await view.attach('a', WRITE);
  await expect(attachment.startLayer()).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(attachment.record.layer).toBe(layer);
  await attachment.release();
  expect((await view.read('a')).frozenLayers).toEqual([]);
});

it('a full disk refuses a larger volume, whose writes go on', async () => {
  let isFull = true;
  const view = await openOn({
    preallocate: () => {
      if (isFull) throw failure('ENOSPC');
    },
  });
  const attachment = await view.attach('a', WRITE);
  await expect(attachment.resize(5000 * CHUNK)).rejects.toMatchObject({
    code: 'NO_SPACE',
    message: expect.stringContaining('volume "a"') as string,
  });
  expect((await view.read('a')).sizeBytes).toBe(64 * CHUNK);
  expect(attachment.record.sizeBytes).toBe(64 * CHUNK);
  expect(await commit(attachment, [{ chunk: 63, layer }])).toBe(0);
  isFull = false;
  await attachment.resize(5000 * CHUNK);
  expect(await commit(attachment, [{ chunk: 4999, layer }])).toBe(0);
  await attachment.release();
  expect((await view.read('a')).sizeBytes).toBe(5000 * CHUNK);
});

it('a resize whose map does not reach the disk is refused, and so is what depends on it', async () => {
  const view = await openOn({ datasyncThen: (_fd, done) => void setImmediate(done, EIO) });
  const attachment = await view.attach('a', WRITE);
  await expect(attachment.resize(5000 * CHUNK)).rejects.toMatchObject({ code: 'MAP_NOT_SYNCED' });
  expect((await view.read('a')).sizeBytes).toBe(64 * CHUNK);
  await expect(attachment.release()).rejects.toMatchObject({ code: 'MAP_NOT_SYNCED' });
});

it('a commit that fails says so, and the next one may succeed', async () => {
  let isFull = true;
  const view = await openOn({
    writeThen: (fd, bytes, position, done) =>
      isFull ? setImmediate(done, ENOSPC) : NODE_FILE_SYSTEM.writeThen(fd, bytes, position, done),
  });
  const attachment = await view.attach('a', WRITE);
  const entries = [5, 7, 9, 11, 13, 15, 17].map((chunk) => ({ chunk, layer }));
  expect(await commit(attachment, entries)).toBe(ENOSPC);
  isFull = false;
  expect(await commit(attachment, entries)).toBe(0);
  expect((await loadEntries(attachment)).length).toBe(7);
  await attachment.release();
});

it('after a sync that failed no later one succeeds, and the volume is not called clean', async () => {
  let syncs = 0;
  const view = await openOn({
    datasyncThen: (_fd, done) => void setImmediate(done, syncs++ === 0 ? EIO : 0),
  });
  const attachment = await view.attach('a', WRITE);
  await commit(attachment, [{ chunk: 1, layer }]);
  expect(await sync(attachment)).toBe(EIO);
  // The kernel reports a lost write once, and then forgets it.
  expect(await sync(attachment)).toBe(EIO);
  await commit(attachment, [{ chunk: 2, layer }]);
  expect(await sync(attachment)).toBe(EIO);
  await expect(attachment.release()).rejects.toMatchObject({
    code: 'MAP_NOT_SYNCED',
    message: expect.stringContaining('EIO') as string,
  });
  const next = await (await pool.open()).attach('a', WRITE);
  expect(next.uncleanBefore).toBe(true);
});

it('neighbours travel in one write, and a sync without commits costs none', async () => {
  const writes: number[] = [];
  let syncs = 0;
  const view = await openOn({
    writeThen: (fd, bytes, position, done) => {
      writes.push(bytes.length);
      NODE_FILE_SYSTEM.writeThen(fd, bytes, position, done);
    },
    datasyncThen: (fd, done) => {
      syncs++;
      NODE_FILE_SYSTEM.datasyncThen(fd, done);
    },
  });
  const attachment = await view.attach('a', WRITE);
  await commit(
    attachment,
    Array.from({ length: 40 }, (_, i) => ({ chunk: 39 - i, layer })),
  );
  expect(writes).toEqual([160]);
  await Promise.all([sync(attachment), sync(attachment), sync(attachment)]);
  await sync(attachment);
  expect(syncs).toBe(1);
  await attachment.release();
});

it('a sync after a killed process makes what that one had committed durable', async () => {
  const killed = await pool.open();
  await commit(await killed.attach('a', WRITE), [{ chunk: 1, layer }]);
  await pool.kill(killed);
  let syncs = 0;
  const view = await openOn({
    datasyncThen: (fd, done) => {
      syncs++;
      NODE_FILE_SYSTEM.datasyncThen(fd, done);
    },
  });
  const attachment = await view.attach('a', WRITE);
  expect(attachment.uncleanBefore).toBe(true);
  await sync(attachment);
  await sync(attachment);
  expect(syncs).toBe(1);
  await attachment.release();
});

it('a slow write does not overtake a later one of the same chunk', async () => {
  let isFirst = true;
  const view = await openOn({
    writeThen: (fd, bytes, position, done) => {
      const write = (): void => NODE_FILE_SYSTEM.writeThen(fd, bytes, position, done);
      if (!isFirst) return write();
      isFirst = false;
      setTimeout(write, 30);
    },
  });
  const attachment = await view.attach('a', WRITE);
  const ends = [
    commit(attachment, [{ chunk: 1, layer }]),
    commit(attachment, [{ chunk: 1, layer: 0 }]),
  ];
  const synced = sync(attachment);
  expect(await Promise.all(ends)).toEqual([0, 0]);
  expect(await synced).toBe(0);
  expect(await loadEntries(attachment)).toEqual([]);
  await attachment.release();
});
