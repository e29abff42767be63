/** What the local coordination says of files that are damaged, strange or from the future. */
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Coordination } from '../../../lib/coordination/coordination';
import { crc32 } from 'node:zlib';
import { openLocalCoordination } from '../../../lib/coordination/local/local-coordination';
import { NODE_FILE_SYSTEM } from '../../../lib/coordination/local/file-system';
import { CHUNK, commit, loadEntries, MIB, READ, refusal, WRITE } from '../pool-under-test';
import { makeLocalPool, type LocalPoolUnderTest } from './local-pool';

let pool: LocalPoolUnderTest;
let here: Coordination;
let layer: number;

const fileOf = (file: string, volume = 'a') => join(pool.directory, 'volumes', volume, file);

function patch(path: string, at: number, bytes: Buffer | string): void {
  const content = readFileSync(path);
  Buffer.from(bytes).copy(content, at);
  writeFileSync(path, content);
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

function patchJson(path: string, change: Record<string, unknown>): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...value, ...change }));
}

beforeEach(async () => {
  pool = await makeLocalPool();
  here = await pool.open();
  ({ layer } = await here.create({ name: 'a', sizeBytes: 2000 * CHUNK, chunkBytes: CHUNK }));
});
afterEach(() => pool.dispose());

/** Refused by all that would use it, and left byte for byte as it was. */
async function expectRefused(path: string, code: string, words: string | RegExp): Promise<void> {
  const before = readFileSync(path);
  const expected = { code, message: expect.stringMatching(words) as string };
  await expect(here.attach('a', WRITE)).rejects.toMatchObject(expected);
  await expect(here.attach('a', READ)).rejects.toMatchObject(expected);
  expect(readFileSync(path).equals(before)).toBe(true);
  expect(await here.owner('a')).toBeNull();
}

describe('a record', () => {
  it.each([
    ['of an unknown version', { version: 2 }, 'VOLUME_RECORD_VERSION_UNKNOWN', 'version 2'],
    ['with a wrong magic', { magic: 'qcow2' }, 'VOLUME_RECORD_CORRUPT', 'magic'],
    ['without a size', { sizeBytes: undefined }, 'VOLUME_RECORD_CORRUPT', 'sizeBytes'],
    ['with half a sector', { sizeBytes: 4194304.5 }, 'VOLUME_RECORD_CORRUPT', 'sizeBytes'],
    ['with odd chunks', { chunkBytes: 12345 }, 'VOLUME_RECORD_CORRUPT', '12345'],
    ['with layer 0', { layer: 0 }, 'VOLUME_RECORD_CORRUPT', 'layer'],
    ['that is frozen and not', { frozenLayers: [1] }, 'VOLUME_RECORD_CORRUPT', 'both frozen'],
    ['with a field too many', { colour: 'red' }, 'VOLUME_RECORD_CORRUPT', 'colour'],
    ['of another volume', { name: 'b' }, 'VOLUME_RECORD_CORRUPT', 'volume "b"'],
  ])('%s is refused', async (_what, change, code, words) => {
    patchJson(fileOf('record.json'), change);
    await expectRefused(fileOf('record.json'), code, words);
    await expect(here.read('a')).rejects.toEqual(refusal(code));
    await expect(here.delete('a')).rejects.toEqual(refusal(code));
  });

  it('that is no JSON is refused', async () => {
    writeFileSync(fileOf('record.json'), '{"magic": "tapdisk-ts vol');
    await expectRefused(fileOf('record.json'), 'VOLUME_RECORD_CORRUPT', 'not JSON');
  });

  it('that is gone is told apart from a volume that is', async () => {
    rmSync(fileOf('record.json'));
    await expect(here.attach('a', WRITE)).rejects.toMatchObject({
      code: 'VOLUME_RECORD_CORRUPT',
      message: expect.stringContaining('is missing') as string,
    });
  });

  it('copied under another name by hand is refused: two volumes would share a layer', async () => {
    cpSync(fileOf('.'), fileOf('.', 'copy'), { recursive: true });
    await expect(here.attach('copy', WRITE)).rejects.toEqual(refusal('VOLUME_RECORD_CORRUPT'));
    await here.attach('a', WRITE);
  });

  it('that is damaged does not hide the other volumes, nor let their layers go', async () => {
    await here.create({ name: 'b', sizeBytes: MIB, chunkBytes: CHUNK });
    writeFileSync(fileOf('record.json'), '');
    expect(await here.names()).toEqual(['a', 'b']);
    await (await here.attach('b', WRITE)).release();
    // Nobody knows which layers "a" needs.
    await expect(here.delete('b')).rejects.toEqual(refusal('VOLUME_RECORD_CORRUPT'));
    expect(await here.names()).toEqual(['a', 'b']);
  });
});

describe('a state file', () => {
  it('of an unknown version is refused', async () => {
    patch(fileOf('state'), 8, u32(9));
    await expectRefused(fileOf('state'), 'VOLUME_STATE_VERSION_UNKNOWN', 'version 9');
  });

  it('without a valid slot is refused', async () => {
    patch(fileOf('state'), 40, 'x');
    await expectRefused(fileOf('state'), 'VOLUME_STATE_CORRUPT', 'neither of its two slots');
  });

  it('with one torn slot counts by the other', async () => {
    await (await here.attach('a', WRITE)).release();
    const epochs = [];
    for (const slot of [0, 4096]) {
      const good = readFileSync(fileOf('state'));
      patch(fileOf('state'), slot + 45, 'torn');
      epochs.push((await here.read('a')).epoch);
      writeFileSync(fileOf('state'), good);
    }
    expect(epochs).toEqual([1, 1]);
  });
});

describe('a chunk map', () => {
  const AT_ENTRIES = 4096;

  it.each([
    ['with a wrong magic', 0, 'QFI', 'MAP_CORRUPT', 'begin'],
    ['of an unknown version', 8, u32(7), 'MAP_VERSION_UNKNOWN', 'version 7'],
    ['with a damaged header', 33, 'x', 'MAP_CORRUPT', 'checksum'],
  ])('%s is refused', async (_what, at, bytes, code, words) => {
    patch(fileOf('map'), at, bytes);
    await expectRefused(fileOf('map'), code, words);
    expect((await here.read('a')).epoch).toBe(0);
  });

  it.each([
    ['of another volume', 16, Buffer.alloc(16, 7), 'another volume'],
    ['of other entries', 40, u32(8), '8 bytes'],
  ])('%s is refused though its checksum is right', async (_what, at, bytes, words) => {
    patch(fileOf('map'), at, bytes);
    patch(fileOf('map'), 12, u32(crc32(readFileSync(fileOf('map')).subarray(16, 64))));
    await expectRefused(fileOf('map'), 'MAP_CORRUPT', words);
  });

  it('made for fewer chunks is taken where it is long enough: the volume was resized', async () => {
    patch(fileOf('map'), 32, u32(5));
    patch(fileOf('map'), 12, u32(crc32(readFileSync(fileOf('map')).subarray(16, 64))));
    expect(await loadEntries(await here.attach('a', WRITE))).toEqual([]);
  });

  it('too short for the size in the record is refused', async () => {
    patchJson(fileOf('record.json'), { sizeBytes: 2001 * CHUNK });
    await expectRefused(fileOf('map'), 'MAP_CORRUPT', '12096 bytes, and needs 12100');
  });

  it('cut short is refused', async () => {
    truncateSync(fileOf('map'), AT_ENTRIES + 100);
    await expectRefused(fileOf('map'), 'MAP_CORRUPT', '4196 bytes');
  });

  it("that names a layer which is not the volume's is refused, with the chunk", async () => {
    patch(fileOf('map'), AT_ENTRIES + 4 * 1500, u32(layer + 1));
    const attachment = await here.attach('a', WRITE);
    const expected = {
      code: 'MAP_CORRUPT',
      message: expect.stringMatching(/chunk 1500 names layer 2\b/) as string,
    };
    await expect(loadEntries(attachment)).rejects.toMatchObject(expected);
    await expect(here.countChunks('a')).rejects.toMatchObject(expected);
  });

  it('that ends while it is read is refused', async () => {
    const attachment = await here.attach('a', WRITE);
    await commit(attachment, [{ chunk: 1999, layer }]);
    truncateSync(fileOf('map'), AT_ENTRIES + 4 * 1999 + 1);
    await expect(loadEntries(attachment)).rejects.toEqual(refusal('MAP_CORRUPT'));
  });
});

describe('the layer counter', () => {
  const createB = () => here.create({ name: 'b', sizeBytes: MIB, chunkBytes: CHUNK });
  const counter = () => join(pool.directory, 'layer-counter.json');

  it.each([
    [{ version: 2 }, 'LAYER_COUNTER_VERSION_UNKNOWN'],
    [{ magic: 'x' }, 'LAYER_COUNTER_CORRUPT'],
    [{ next: 0 }, 'LAYER_COUNTER_CORRUPT'],
    [{ next: 2 ** 32 }, 'LAYERS_EXHAUSTED'],
  ])('with %j is refused and stays', async (change, code) => {
    patchJson(counter(), change);
    const before = readFileSync(counter(), 'utf8');
    await expect(createB()).rejects.toEqual(refusal(code));
    expect(readFileSync(counter(), 'utf8')).toBe(before);
    expect(await here.names()).toEqual(['a']);
  });

  it('that is gone is not begun anew', async () => {
    rmSync(counter());
    await expect(createB()).rejects.toEqual(refusal('LAYER_COUNTER_CORRUPT'));
  });

  it('gives the last id out, and none after it', async () => {
    patchJson(counter(), { next: 2 ** 32 - 1 });
    expect((await createB()).layer).toBe(2 ** 32 - 1);
    const attachment = await here.attach('b', WRITE);
    await commit(attachment, [{ chunk: 0, layer: 2 ** 32 - 1 }]);
    expect(await loadEntries(attachment)).toEqual([[0, 2 ** 32 - 1]]);
    await expect(attachment.startLayer()).rejects.toEqual(refusal('LAYERS_EXHAUSTED'));
  });
});

describe('the pool lock', () => {
  it('held by another process for too long is told', async () => {
    const fd = await NODE_FILE_SYSTEM.open(join(pool.directory, 'lock'), 'r+');
    NODE_FILE_SYSTEM.tryLock(fd, 'exclusive');
    const view = await openLocalCoordination({ directory: pool.directory, lockTimeoutMs: 30 });
    const volume = { name: 'b', sizeBytes: MIB, chunkBytes: CHUNK };
    await expect(view.create(volume)).rejects.toMatchObject({ code: 'POOL_BUSY', transient: true });
    await NODE_FILE_SYSTEM.close(fd);
    await view.create(volume);
  });
});
