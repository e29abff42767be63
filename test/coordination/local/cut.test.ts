/**
 * Every operation is cut at each change it makes to the disk, as kill -9 would; the next process
 * must find a pool that needs no repair: old or new, nothing between, and nothing used twice.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Attachment, Coordination } from '../../../lib/coordination/coordination';
import { commit, loadEntries, MIB, READ, sync, WRITE } from '../pool-under-test';
import { makeLocalPool, type LocalPoolUnderTest } from './local-pool';
import { MortalFileSystem } from './mortal-file-system';

interface Cut {
  readonly pool: LocalPoolUnderTest;
  /** Of a process that opens the pool after the death. */
  readonly after: Coordination;
  /** What `prepare` made. */
  readonly layer: number;
  readonly where: string;
}

interface Operation<Prepared> {
  /** In the process that will die, before it counts. */
  readonly prepare?: (view: Coordination) => Promise<Prepared>;
  readonly run: (view: Coordination, prepared: Prepared) => Promise<unknown>;
  readonly check: (cut: Cut) => Promise<void>;
}

const CHUNK = 64 * 1024;
const CHUNKS = 16;
/** More changes than any operation makes: a loop that never ends is a failure. */
const CHANGES_MAX = 200;

/** Some dozens of pools are made and looked through in each test. */
jest.setTimeout(60_000);

/** Runs the operation with a death at each of its changes, in turn, until it outlives them. */
async function cutEverywhere<Prepared>(operation: Operation<Prepared>): Promise<number> {
  for (let deathAt = 1; deathAt <= CHANGES_MAX; deathAt++) {
    const end = await cutOnce(operation, deathAt, false);
    if (end === 'outlived') return deathAt - 1;
    if (end === 'in two') await cutOnce(operation, deathAt, true);
  }
  throw new Error('the operation never ended');
}

async function cutOnce<Prepared>(
  operation: Operation<Prepared>,
  deathAt: number,
  torn: boolean,
): Promise<'outlived' | 'in two' | 'whole'> {
  const pool = await makeLocalPool();
  const maker = await pool.open();
  const { layer } = await maker.create({
    name: 'old',
    sizeBytes: CHUNKS * CHUNK,
    chunkBytes: CHUNK,
  });
  const first = await maker.attach('old', WRITE);
  await commit(first, [{ chunk: 3, layer }]);
  await maker.close();

  const fileSystem = new MortalFileSystem();
  const view = await pool.openMortal(fileSystem);
  const prepared = (await operation.prepare?.(view)) as Prepared;
  fileSystem.dieAtChange(deathAt, torn);
  const outlived = await fileSystem.outlives(operation.run(view, prepared));
  const where = `cut at change ${deathAt}${torn ? ', torn' : ''}: ${fileSystem.log.at(-1)}`;
  await pool.kill(view);

  const after = await pool.open();
  try {
    await operation.check({ pool, after, layer, where });
    await checkPool(pool, after);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
  await pool.dispose();
  if (outlived) return 'outlived';
  return fileSystem.diedInTwo ? 'in two' : 'whole';
}

/** What holds whatever was cut: nothing half-made, every volume usable, layers never twice. */
async function checkPool(pool: LocalPoolUnderTest, after: Coordination): Promise<void> {
  expect(readdirSync(join(pool.directory, 'creating'))).toEqual([]);
  const given: number[] = [];
  for (const { name, layer, frozenLayers } of await after.list()) {
    given.push(layer, ...frozenLayers);
    const attachment = await after.attach(name, WRITE);
    await loadEntries(attachment);
    expect(await commit(attachment, [{ chunk: 1, layer: attachment.record.layer }])).toBe(0);
    given.push((await attachment.startLayer()).layer);
    await attachment.release();
    const directory = join(pool.directory, 'volumes', name);
    expect(readdirSync(directory).filter((file) => file.startsWith('.'))).toEqual([]);
  }
  for (const { layers } of await after.pendingDeletions()) given.push(...layers);
  const next = await after.create({ name: 'next', sizeBytes: MIB, chunkBytes: CHUNK });
  expect(new Set([...given, next.layer]).size).toBe(given.length + 1);
}

it('create: the volume is there and whole, or not there and its name free', async () => {
  const changes = await cutEverywhere({
    run: (view) => view.create({ name: 'new', sizeBytes: MIB, chunkBytes: CHUNK }),
    async check({ after }) {
      const names = await after.names();
      if (!names.includes('new')) {
        await after.create({ name: 'new', sizeBytes: MIB, chunkBytes: CHUNK });
      }
      const attachment = await after.attach('new', WRITE);
      expect(attachment.record.epoch).toBe(1);
      expect(await loadEntries(attachment)).toEqual([]);
      await attachment.release();
    },
  });
  expect(changes).toBeGreaterThan(20);
});

it('attach for writing: the next attach has a higher epoch, and the data', async () => {
  const changes = await cutEverywhere({
    run: (view) => view.attach('old', WRITE),
    async check({ after, layer }) {
      const before = (await after.read('old')).epoch;
      expect([1, 2]).toContain(before);
      const attachment = await after.attach('old', WRITE);
      expect(attachment.record.epoch).toBe(before + 1);
      // Whoever got an epoch, and may have written, is known not to have released.
      expect(attachment.uncleanBefore).toBe(before === 2);
      expect(await loadEntries(attachment)).toEqual([[3, layer]]);
      await attachment.release();
    },
  });
  expect(changes).toBeGreaterThan(5);
});

it('attach for reading changes nothing', async () => {
  await cutEverywhere({
    run: (view) => view.attach('old', READ),
    async check({ after, layer }) {
      expect(await after.owner('old')).toBeNull();
      const attachment = await after.attach('old', WRITE);
      expect(attachment.uncleanBefore).toBe(false);
      expect(attachment.record.epoch).toBe(2);
      expect(await loadEntries(attachment)).toEqual([[3, layer]]);
      await attachment.release();
    },
  });
});

it('startLayer: the record is the old or the new one, and names every layer in the map', async () => {
  await cutEverywhere<Attachment>({
    prepare: (view) => view.attach('old', WRITE),
    run: (_view, attachment) => attachment.startLayer(),
    async check({ after, layer }) {
      const record = await after.read('old');
      if (record.frozenLayers.length === 0) expect(record.layer).toBe(layer);
      else expect(record.frozenLayers).toEqual([layer]);
      const attachment = await after.attach('old', WRITE);
      expect(await loadEntries(attachment)).toEqual([[3, layer]]);
      await attachment.release();
    },
  });
});

it('resize: the size is the old or the new one, with a map that suits it', async () => {
  const seen = new Set<number>();
  const grown = 2000;
  await cutEverywhere<Attachment>({
    prepare: (view) => view.attach('old', WRITE),
    run: (_view, attachment) => attachment.resize(grown * CHUNK),
    async check({ after, layer }) {
      const chunks = (await after.read('old')).sizeBytes / CHUNK;
      seen.add(chunks);
      const attachment = await after.attach('old', WRITE);
      expect(await loadEntries(attachment)).toEqual([[3, layer]]);
      // The same call again settles it.
      await attachment.resize(grown * CHUNK);
      expect(await commit(attachment, [{ chunk: grown - 1, layer }])).toBe(0);
      expect(await loadEntries(attachment)).toEqual([
        [3, layer],
        [grown - 1, layer],
      ]);
      await attachment.release();
    },
  });
  expect([...seen].sort((a, b) => a - b)).toEqual([CHUNKS, grown]);
});

it('release: the volume is clean, or said not to be', async () => {
  const unclean = new Set<boolean>();
  await cutEverywhere<Attachment>({
    async prepare(view) {
      const attachment = await view.attach('old', WRITE);
      await commit(attachment, [{ chunk: 4, layer: attachment.record.layer }]);
      await sync(attachment);
      return attachment;
    },
    run: (_view, attachment) => attachment.release(),
    async check({ after, layer }) {
      const attachment = await after.attach('old', WRITE);
      unclean.add(attachment.uncleanBefore);
      expect(await loadEntries(attachment)).toEqual([
        [3, layer],
        [4, layer],
      ]);
      await attachment.release();
    },
  });
  expect(unclean).toEqual(new Set([true, false]));
});

it('delete: the volume is there and whole, or its layers are pending', async () => {
  const seen = new Set<string>();
  await cutEverywhere({
    run: (view) => view.delete('old'),
    async check({ after, layer }) {
      const pending = (await after.pendingDeletions()).map(({ layers }) => layers);
      if ((await after.names()).includes('old')) {
        seen.add('there');
        expect(pending).toEqual([]);
        const attachment = await after.attach('old', WRITE);
        expect(await loadEntries(attachment)).toEqual([[3, layer]]);
        await attachment.release();
      } else {
        seen.add('pending');
        expect(pending).toEqual([[layer]]);
      }
    },
  });
  expect(seen).toEqual(new Set(['there', 'pending']));
});

it('finishDeletion: the deletion is pending or forgotten', async () => {
  await cutEverywhere<string>({
    async prepare(view) {
      const { uuid } = await view.read('old');
      await view.delete('old');
      return uuid;
    },
    run: (view, uuid) => view.finishDeletion(uuid),
    async check({ pool, after, layer }) {
      const pending = await after.pendingDeletions();
      if (pending.length > 0) expect(pending.map(({ layers }) => layers)).toEqual([[layer]]);
      for (const { uuid } of pending) await after.finishDeletion(uuid);
      expect(readdirSync(join(pool.directory, 'deleted'))).toEqual([]);
    },
  });
});

it('opening, while it sweeps what another left', async () => {
  for (let deathAt = 1; deathAt <= CHANGES_MAX; deathAt++) {
    const pool = await makeLocalPool();
    const first = new MortalFileSystem();
    const maker = await pool.openMortal(first);
    first.dieAtChange(18, false);
    await first.outlives(maker.create({ name: 'half', sizeBytes: MIB, chunkBytes: CHUNK }));
    expect(readdirSync(join(pool.directory, 'creating')).length).toBe(1);
    const second = new MortalFileSystem(deathAt);
    const outlived = await second.outlives(pool.openMortal(second));
    await second.kill();
    const after = await pool.open();
    await checkPool(pool, after);
    expect(await after.names()).toEqual(['next']);
    await pool.dispose();
    if (outlived) return;
  }
});

it('what is renamed into place is on the disk before, and its name afterwards', async () => {
  const pool = await makeLocalPool();
  const fileSystem = new MortalFileSystem();
  const view = await pool.openMortal(fileSystem);
  await view.create({ name: 'a', sizeBytes: MIB, chunkBytes: CHUNK });
  const attachment = await view.attach('a', WRITE);
  await attachment.startLayer();
  await attachment.resize(8192 * CHUNK);
  await attachment.release();
  await view.delete('a');
  const dirty = new Set<string>();
  const unsyncedDirectories = new Set<string>();
  let renames = 0;
  for (const line of fileSystem.log) {
    const [name, path, to] = line.split(' ');
    if (name === 'write' || name === 'truncate') dirty.add(path);
    if (name === 'fsync' || name === 'datasyncThen') {
      dirty.delete(path);
      unsyncedDirectories.delete(path);
    }
    if (name === 'rename') {
      renames++;
      // The attach lock's owner is for people's eyes, and no promise.
      const inside = [...dirty].filter(
        (file) => file.startsWith(path) && !/attach\.lock$/.test(file),
      );
      expect({ line, inside }).toEqual({ line, inside: [] });
      unsyncedDirectories.add(join(to, '..'));
    }
  }
  expect(renames).toBeGreaterThanOrEqual(5);
  expect([...unsyncedDirectories]).toEqual([]);
  await pool.dispose();
});
