/** A process that was started ahead loads what this host's pools are opened with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { poolsDirectory } from '../../lib/pool/config-directory';
import type * as OpenPool from '../../lib/pool/open-pool';
import { makePoolRoom, type PoolRoom } from './temporary-pool';

const LOCAL = '../../lib/pool/open-local-pool';
const ETCD = '../../lib/pool/open-etcd-pool';
const DIR = '../../lib/pool/open-dir-store';
const UUID = '00000000-0000-4000-8000-000000000000';

let room: PoolRoom;
let loaded: string[];
let pools: typeof OpenPool;

beforeEach(() => {
  room = makePoolRoom();
  loaded = [];
  jest.resetModules();
  watch(LOCAL, 'local');
  watch(DIR, 'dir');
  watch(ETCD, 'etcd', { loadEtcdClient: () => loaded.push('client') });
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import would come before the modules are watched
  pools = require('../../lib/pool/open-pool') as typeof OpenPool;
});
afterEach(() => room.dispose());

function watch(module: string, name: string, exported: object = {}): void {
  jest.doMock(module, () => {
    loaded.push(name);
    return exported;
  });
}

function writeConfig(name: string, config: object | string): void {
  const directory = poolsDirectory(room.env);
  mkdirSync(directory, { recursive: true });
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  writeFileSync(join(directory, `${name}.json`), text);
}

const path = '/srv/pool';
const local = {
  version: 1,
  uuid: UUID,
  store: { kind: 'dir', path },
  coordination: { kind: 'local', path },
};
const etcd = {
  version: 2,
  uuid: UUID,
  store: { kind: 'etcd' },
  coordination: { kind: 'etcd', endpoints: ['http://127.0.0.1:2379'], prefix: '/tapdisk-ts/main/' },
};

test('without a pool nothing', async () => {
  await pools.loadPools(room);
  expect(loaded).toEqual([]);
});

test('for a pool of one host nothing of etcd', async () => {
  writeConfig('main', local);
  await pools.loadPools(room);
  expect(loaded.sort()).toEqual(['dir', 'local']);
});

test('for a pool in etcd its client, too; a damaged file keeps no other from being loaded', async () => {
  writeConfig('damaged', '{');
  writeConfig('main', etcd);
  await pools.loadPools(room);
  expect(loaded.sort()).toEqual(['client', 'etcd']);
});
