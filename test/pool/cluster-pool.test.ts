/** What a host and a cluster know of a pool that etcd coordinates: the files' and the key's formats. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimPrefix, readClusterIdentity } from '../../lib/pool/cluster-identity';
import { type EtcdPoolConfig, readPoolConfig, writePoolConfig } from '../../lib/pool/pool-config';
import { runCommand } from '../cli/captured-io';
import { simEtcd, type PlainSimEtcd } from '../simulation/sim-etcd';
import { refusal } from './temporary-pool';

const UUID = 'cde6de4d-4d19-4f81-b8b8-c76c0a9d2b77';
const OTHER = 'f6320b47-35e9-4625-8601-9bde644f803b';
const IDENTITY = { uuid: UUID, store: 'dir', createdAt: '2026-03-01T00:00:00.000Z' } as const;
const CALL = { deadlineMs: 1000 };

async function driven<Result>({ time }: PlainSimEtcd, work: Promise<Result>): Promise<Result> {
  return time.resolve(work);
}

describe('the key of a pool', () => {
  let cluster: PlainSimEtcd;
  beforeEach(() => {
    cluster = simEtcd();
  });

  const put = (value: object): Promise<unknown> =>
    driven(
      cluster,
      cluster.etcd.transaction(
        {
          compare: [],
          success: [{ put: { key: 'pool', value: Buffer.from(JSON.stringify(value)) } }],
        },
        CALL,
      ),
    );

  it('is the first one`s that claims the prefix', async () => {
    expect(await driven(cluster, readClusterIdentity(cluster))).toBeNull();
    expect(await driven(cluster, claimPrefix(cluster, IDENTITY))).toBe(true);
    expect(await driven(cluster, claimPrefix(cluster, { ...IDENTITY, uuid: OTHER }))).toBe(false);
    expect(await driven(cluster, readClusterIdentity(cluster))).toEqual(IDENTITY);
  });

  it.each([
    [{ version: 2 }, 'CLUSTER_POOL_VERSION_UNKNOWN'],
    [{ version: 1, ...IDENTITY, store: 'tape' }, 'CLUSTER_POOL_CORRUPT'],
    [{ version: 1, ...IDENTITY, more: 1 }, 'CLUSTER_POOL_CORRUPT'],
  ])('is refused where it reads %j', async (value, code) => {
    await put(value);
    await expect(driven(cluster, readClusterIdentity(cluster))).rejects.toEqual(refusal(code));
  });
});

describe('a pool file with etcd', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-pool-file-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const config: EtcdPoolConfig = {
    version: 2,
    uuid: UUID,
    store: { kind: 'etcd' },
    coordination: {
      kind: 'etcd',
      leaseTtlMs: 5000,
      takeOverWaitMs: undefined,
      cluster: { endpoints: ['http://127.0.0.1:2379'], prefix: '/tapdisk-ts/main/' },
    },
  };

  it('is read as it was written, and names no field twice', async () => {
    await writePoolConfig(directory, 'main', config);
    expect(await readPoolConfig(directory, 'main')).toEqual(config);
    expect(JSON.parse(readFileSync(join(directory, 'main.json'), 'utf8'))).toEqual({
      version: 2,
      uuid: UUID,
      store: { kind: 'etcd' },
      coordination: {
        kind: 'etcd',
        leaseTtlMs: 5000,
        endpoints: ['http://127.0.0.1:2379'],
        prefix: '/tapdisk-ts/main/',
      },
    });
  });

  it.each([
    [{ version: 3 }, 'POOL_CONFIG_VERSION_UNKNOWN', 'version 3'],
    [{ store: { kind: 'memory' } }, 'POOL_CONFIG_CORRUPT', 'store'],
    [
      { coordination: { kind: 'etcd', endpoints: [], prefix: '/a/' } },
      'POOL_CONFIG_CORRUPT',
      'endpoints',
    ],
    [
      { coordination: { kind: 'etcd', endpoints: ['http://a:1'], prefix: '/a/', password: 'x' } },
      'POOL_CONFIG_CORRUPT',
      'password',
    ],
    [
      { coordination: { kind: 'etcd', endpoints: ['http://a:1'], prefix: '/a/', leaseTtlMs: 5 } },
      'POOL_CONFIG_CORRUPT',
      'leaseTtlMs',
    ],
  ])('is refused with %j', async (change, code, words) => {
    await writePoolConfig(directory, 'main', config);
    const path = join(directory, 'main.json');
    const file = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...file, ...change }));
    await expect(readPoolConfig(directory, 'main')).rejects.toEqual(refusal(code, words));
  });
});

test.each([
  [['pool', 'create', 'main', '--store', 'etcd']],
  [['pool', 'create', 'main']],
  [['pool', 'create', 'main', '--etcd', 'http://a:1', '--store', 'null']],
  [['pool', 'create', 'main', '--etcd', 'http://a:1', '--existing', '--path', '/x']],
  [['pool', 'create', 'main', '--etcd', 'http://a:1']],
  [['pool', 'create', 'main', '--etcd', 'ftp://a', '--path', '/x']],
  [['pool', 'join', 'main']],
  [['doctor', '/srv', '--pool', 'main']],
])('%j is a wrong command line', async (argv) => {
  const env = { TAPDISK_TS_CONFIG_DIR: '/nowhere' };
  expect(await runCommand(argv, { env })).toMatchObject({ exitCode: 2, out: '' });
});
