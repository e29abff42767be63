import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createPool } from '../../lib/pool/create-pool';
import { deletePool } from '../../lib/pool/delete-pool';
import { deleteVolume, finishDeletions } from '../../lib/pool/delete-volume';
import { openPool, type Pool } from '../../lib/pool/open-pool';
import { checkDirectoryOwner } from '../../lib/pool/check-directory';
import { poolsDirectory } from '../../lib/pool/config-directory';
import { layerDirectory } from '../../lib/store/dir/extent-path';
import { runTypescript } from '../native-bindings/run-typescript';
import { testWhere } from '../where';
import { makePoolRoom, refusal, type PoolRoom } from './temporary-pool';

const MIB = 2 ** 20;
const WITH_VOLUMES = { force: true, keepData: false };
const EMPTY = { force: false, keepData: false };

let room: PoolRoom;
const opened: Pool[] = [];

beforeEach(() => {
  room = makePoolRoom();
});
afterEach(async () => {
  for (const pool of opened.splice(0)) await pool.close();
  room.dispose();
});

const create = (
  name = 'main',
  change: { path?: string; storeKind?: string; existing?: boolean } = {},
) => createPool({ name, path: room.poolPath, storeKind: 'dir', existing: false, ...change }, room);

async function open(name = 'main'): Promise<Pool> {
  const pool = await openPool(name, room);
  opened.push(pool);
  return pool;
}

async function makeVolume(name: string, pool?: Pool): Promise<void> {
  const { coordination } = pool ?? (await open());
  await coordination.create({ name, sizeBytes: MIB, chunkBytes: 64 * 1024 });
}

const configPath = (name = 'main') => join(poolsDirectory(room.env), `${name}.json`);

function patchJson(path: string, change: Record<string, unknown>): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...value, ...change }));
}

describe('a pool', () => {
  it('is opened by its name, with its coordination and its store', async () => {
    const config = await create();
    const pool = await open();
    expect(pool).toMatchObject({ name: 'main', uuid: config.uuid, storeKind: 'dir' });
    expect(pool.directory).toBe(room.poolPath);
    const record = await pool.coordination.create({
      name: 'a',
      sizeBytes: MIB,
      chunkBytes: 64 * 1024,
    });
    const store = await pool.openStore({ chunkBytes: record.chunkBytes, readOnly: true });
    expect(store.kind).toBe('dir');
    expect(await store.usedBytes(record.layer)).toBe(0);
    await store.close();
  });

  it.each(['memory', 'null'])('may have a %s store', async (storeKind) => {
    await create('main', { storeKind });
    const store = await (await open()).openStore({ chunkBytes: MIB, readOnly: false });
    expect(store.kind).toBe(storeKind);
    await store.close();
  });

  it('is private to its user', async () => {
    await create();
    await makeVolume('a');
    for (const path of readdirSync(room.poolPath, { recursive: true })) {
      const { mode } = await import('node:fs').then(({ statSync }) =>
        statSync(join(room.poolPath, String(path))),
      );
      expect({ path, others: mode & 0o077 }).toEqual({ path, others: 0 });
    }
  });
});

describe('creating a pool refuses', () => {
  it('a name that is taken, or strange', async () => {
    await create();
    const path = join(room.directory, 'other');
    await expect(create('main', { path })).rejects.toEqual(refusal('POOL_EXISTS'));
    await expect(create('a/b', { path })).rejects.toEqual(refusal('NAME_INVALID', '"/" (U+002F)'));
    expect(existsSync(path)).toBe(false);
  });

  it('a kind of store that it does not know', async () => {
    await expect(create('main', { storeKind: 'ceph' })).rejects.toEqual(
      refusal('STORE_KIND_UNKNOWN', 'dir, memory, null'),
    );
  });

  it('a directory that holds something else', async () => {
    mkdirSync(room.poolPath);
    writeFileSync(join(room.poolPath, 'thesis.txt'), 'mine');
    await expect(create()).rejects.toEqual(refusal('POOL_DIRECTORY_NOT_EMPTY', 'thesis.txt'));
    expect(readdirSync(room.poolPath)).toEqual(['thesis.txt']);
  });

  it('a directory below one that is not there, and a file', async () => {
    const path = join(room.directory, 'no/such');
    await expect(create('main', { path })).rejects.toEqual(refusal('POOL_PARENT_MISSING'));
    writeFileSync(room.poolPath, '');
    await expect(create()).rejects.toEqual(refusal('POOL_DIRECTORY_MISSING', 'not a directory'));
  });

  it('a directory that is a known pool', async () => {
    await create();
    await expect(create('other')).rejects.toEqual(refusal('POOL_DIRECTORY_IN_USE', 'pool "main"'));
  });

  it('a pool with volumes, unless it is told to take it over', async () => {
    await create();
    await makeVolume('a');
    await deletePool({ name: 'main', force: false, keepData: true }, room);
    await expect(create()).rejects.toEqual(refusal('POOL_DIRECTORY_IN_USE', '--existing'));
    await expect(create('main', { existing: true, storeKind: 'null' })).rejects.toEqual(
      refusal('POOL_DIRECTORY_IN_USE', 'not null'),
    );
    await create('again', { existing: true });
    expect(await (await open('again')).coordination.names()).toEqual(['a']);
  });
});

describe('creating a pool that was cut short', () => {
  it('before it had its identity, goes on', async () => {
    await create();
    rmSync(configPath());
    rmSync(join(room.poolPath, 'pool.json'));
    rmSync(join(room.poolPath, 'layer-counter.json'));
    rmSync(join(room.poolPath, 'deleted'), { recursive: true });
    writeFileSync(join(room.poolPath, '.tmp-1'), '');
    await create();
    await makeVolume('a');
  });

  it('before this host knew it, takes it over', async () => {
    const { uuid } = await create();
    rmSync(configPath());
    expect((await create()).uuid).toBe(uuid);
  });
});

describe('opening a pool refuses', () => {
  beforeEach(() => create());

  it('a name that nobody gave', async () => {
    await expect(open('nix')).rejects.toEqual(refusal('POOL_NOT_FOUND', '"nix"'));
  });

  it.each([
    [{ version: 3 }, 'POOL_CONFIG_VERSION_UNKNOWN', 'version 3'],
    [{ store: 'dir' }, 'POOL_CONFIG_CORRUPT', 'store'],
    [{ coordination: { kind: 'etcd', path: '/' } }, 'POOL_CONFIG_CORRUPT', 'coordination.kind'],
  ])('a configuration with %j', async (change, code, words) => {
    patchJson(configPath(), change);
    await expect(open()).rejects.toEqual(refusal(code, words));
  });

  it.each([
    [{ version: 2 }, 'POOL_IDENTITY_VERSION_UNKNOWN', 'version 2'],
    [{ magic: 'vg0' }, 'POOL_IDENTITY_CORRUPT', 'magic'],
    [{ uuid: 7 }, 'POOL_IDENTITY_CORRUPT', 'uuid'],
    [{ uuid: 'cde6de4d-4d19-4f81-b8b8-c76c0a9d2b77' }, 'POOL_MISMATCH', 'another pool'],
    [{ store: 'null' }, 'POOL_MISMATCH', 'another pool'],
  ])('an identity with %j', async (change, code, words) => {
    patchJson(join(room.poolPath, 'pool.json'), change);
    await expect(open()).rejects.toEqual(refusal(code, words));
  });

  it('a directory that is not there, or is no pool', async () => {
    renameSync(room.poolPath, `${room.poolPath}-unmounted`);
    await expect(open()).rejects.toEqual(refusal('POOL_DIRECTORY_MISSING', 'does not exist'));
    mkdirSync(room.poolPath);
    await expect(open()).rejects.toEqual(refusal('POOL_DIRECTORY_MISSING', 'holds no pool'));
  });

  it("another user's directory", async () => {
    // Whoever runs this: the directory's owner is not this user's neighbour.
    await expect(openPool('main', { ...room, uid: process.geteuid!() + 1 })).rejects.toEqual(
      refusal('POOL_DIRECTORY_FOREIGN', `as user ${process.geteuid!() + 1}`),
    );
  });
});

describe("another user's directory", () => {
  it('is for root, and for nobody else', () => {
    expect(() => checkDirectoryOwner('/pool', 1000, 1000)).not.toThrow();
    expect(() => checkDirectoryOwner('/pool', 1000, 0)).not.toThrow();
    expect(() => checkDirectoryOwner('/pool', 1000, 1001)).toThrow(
      'pool directory /pool belongs to user 1000 and this process runs as user 1001',
    );
    expect(() => checkDirectoryOwner('/pool', 0, 1001)).toThrow('belongs to user 0');
  });

  const asRoot = testWhere(
    process.geteuid!() === 0 ? null : 'only root can',
    'becoming another user',
  );
  asRoot('is refused to a process that really is another user', async () => {
    const nobody = 65534;
    await create();
    chownSync(room.directory, nobody, nobody);
    chownSync(configPath(), nobody, nobody);
    const child = runTypescript(
      `
      const { openPool } = require('./lib/pool/open-pool.ts');
      process.setgid(${nobody});
      process.setuid(${nobody});
      openPool('main').catch((error) => console.log(error.code, error.message));
      `,
      { env: { ...room.env } },
    );
    expect(child.err).toBe('');
    expect(child.out).toContain('POOL_DIRECTORY_FOREIGN');
    expect(child.out).toContain('belongs to user 0 and this process runs as user 65534');
  });
});

describe('deleting a volume', () => {
  beforeEach(() => create());

  it('takes its layers from the store', async () => {
    const pool = await open();
    await makeVolume('a', pool);
    const attachment = await pool.coordination.attach('a', { readOnly: false });
    await attachment.startLayer();
    await attachment.release();
    const { layer, frozenLayers } = await pool.coordination.read('a');
    for (const id of [layer, ...frozenLayers]) {
      mkdirSync(layerDirectory(room.poolPath, id), { recursive: true });
      writeFileSync(join(layerDirectory(room.poolPath, id), '00000000'), 'data');
    }
    const progress: [number, number][] = [];
    await deleteVolume(pool, 'a', (done, all) => progress.push([done, all]));
    expect(progress).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(readdirSync(join(room.poolPath, 'layers'))).toEqual([]);
    expect(await pool.coordination.pendingDeletions()).toEqual([]);
  });

  it('that was cut short is finished later', async () => {
    const pool = await open();
    await makeVolume('a', pool);
    const { layer } = await pool.coordination.read('a');
    mkdirSync(layerDirectory(room.poolPath, layer), { recursive: true });
    await pool.coordination.delete('a');
    expect(await finishDeletions(await open())).toEqual(['a']);
    expect(existsSync(layerDirectory(room.poolPath, layer))).toBe(false);
    expect(await finishDeletions(pool)).toEqual([]);
  });

  it('whose layers cannot be deleted says so, and stays pending', async () => {
    const pool = await open();
    await makeVolume('a', pool);
    const broken: Pool = {
      ...pool,
      openStore: async (options) => {
        const store = await pool.openStore(options);
        store.deleteLayer = () => Promise.reject(new Error('EIO: no luck'));
        return store;
      },
    };
    await expect(deleteVolume(broken, 'a')).rejects.toEqual(
      refusal('LAYER_NOT_DELETED', 'EIO: no luck'),
    );
    expect(await finishDeletions(pool)).toEqual(['a']);
  });
});

describe('deleting a pool', () => {
  beforeEach(() => create());

  it('leaves nothing of it', async () => {
    await deletePool({ name: 'main', ...EMPTY }, room);
    expect(existsSync(room.poolPath)).toBe(false);
    await expect(open()).rejects.toEqual(refusal('POOL_NOT_FOUND'));
    await create();
  });

  it('is refused while it has volumes, unless forced', async () => {
    const pool = await open();
    await makeVolume('a', pool);
    await makeVolume('b', pool);
    await expect(deletePool({ name: 'main', ...EMPTY }, room)).rejects.toEqual(
      refusal('POOL_NOT_EMPTY', '2 volumes'),
    );
    expect(await pool.coordination.names()).toEqual(['a', 'b']);
    await deletePool({ name: 'main', ...WITH_VOLUMES }, room);
    expect(existsSync(room.poolPath)).toBe(false);
  });

  it('is refused, forced as well, while a volume is attached', async () => {
    const pool = await open();
    await makeVolume('a', pool);
    await pool.coordination.attach('a', { readOnly: false });
    await expect(deletePool({ name: 'main', ...WITH_VOLUMES }, room)).rejects.toEqual(
      refusal('VOLUME_ATTACHED'),
    );
    expect(await pool.coordination.names()).toEqual(['a']);
  });

  it('leaves what somebody else put there', async () => {
    writeFileSync(join(room.poolPath, 'note.txt'), 'mine');
    await deletePool({ name: 'main', ...EMPTY }, room);
    expect(readdirSync(room.poolPath)).toEqual(['note.txt']);
  });

  it('that was cut short goes on, by its name or when the directory is used anew', async () => {
    const cut = (): void => {
      renameSync(join(room.poolPath, 'pool.json'), join(room.poolPath, 'pool.json.deleting'));
      rmSync(join(room.poolPath, 'volumes'), { recursive: true });
    };
    cut();
    await expect(open()).rejects.toEqual(refusal('POOL_DIRECTORY_MISSING'));
    await deletePool({ name: 'main', ...EMPTY }, room);
    expect(existsSync(room.poolPath)).toBe(false);
    await create();
    cut();
    rmSync(configPath());
    await create();
    await makeVolume('a');
  });
});

describe('the directory of configurations', () => {
  it.each([
    [{ TAPDISK_TS_CONFIG_DIR: '/c' }, 0, '/c/pools.d'],
    [{}, 0, '/etc/tapdisk-ts/pools.d'],
    [{ HOME: '/home/u' }, 1000, '/home/u/.config/tapdisk-ts/pools.d'],
    [{ HOME: '/home/u', XDG_CONFIG_HOME: '/x' }, 1000, '/x/tapdisk-ts/pools.d'],
    [{ HOME: '/home/u', XDG_CONFIG_HOME: 'rel' }, 1000, '/home/u/.config/tapdisk-ts/pools.d'],
  ])('with %j for user %d is %s', (env, uid, directory) => {
    expect(poolsDirectory(env, uid)).toBe(directory);
  });
});
