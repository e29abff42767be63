/** What a host knows of a pool: its name, its store, its coordination. Format in docs/formats.md. */
import { mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN } from '../coordination/etcd/limits';
import { writeFileDurably } from '../coordination/local/durable-file';
import { checkName } from '../coordination/name';
import { errnoOf, TapdiskError } from '../errors';
import { clusterConfigSchema } from '../etcd/cluster-config';
import { integer } from '../integer';
import { TAKE_OVER_WAIT_MS_MAX } from './limits';
import { parseJson } from '../coordination/versioned-json';

/** Of pools of one host; programs that know nothing of etcd read it as well. */
export const LOCAL_POOL_CONFIG_VERSION = 1;
export const ETCD_POOL_CONFIG_VERSION = 2;

const localPoolSchema = z.strictObject({
  version: z.literal(LOCAL_POOL_CONFIG_VERSION),
  /** Of the pool's identity: another directory mounted in its place is noticed. */
  uuid: z.string().uuid(),
  store: z.strictObject({ kind: z.string(), path: z.string() }),
  coordination: z.strictObject({ kind: z.literal('local'), path: z.string() }),
});

const etcdPoolSchema = z.strictObject({
  version: z.literal(ETCD_POOL_CONFIG_VERSION),
  /** Of the identity in etcd, and of the one in the store's directory. */
  uuid: z.string().uuid(),
  store: z.union([
    z.strictObject({ kind: z.literal('etcd') }),
    z.strictObject({ kind: z.literal('dir'), path: z.string() }),
  ]),
  coordination: z
    .object({
      kind: z.literal('etcd'),
      leaseTtlMs: integer.min(LEASE_TTL_MS_MIN).max(LEASE_TTL_MS_MAX).optional(),
      takeOverWaitMs: integer.min(0).max(TAKE_OVER_WAIT_MS_MAX).optional(),
    })
    .passthrough()
    .transform(({ kind, leaseTtlMs, takeOverWaitMs, ...cluster }, context) => {
      const parsed = clusterConfigSchema.safeParse(cluster);
      if (parsed.success) {
        const settings = { kind, leaseTtlMs, takeOverWaitMs };
        return { ...settings, cluster: parsed.data };
      }
      const [{ path, message }] = parsed.error.issues;
      context.addIssue({ code: 'custom', path: [...path], message });
      return z.NEVER;
    }),
});

export type LocalPoolConfig = Readonly<z.infer<typeof localPoolSchema>>;
export type EtcdPoolConfig = Readonly<z.infer<typeof etcdPoolSchema>>;
export type PoolConfig = LocalPoolConfig | EtcdPoolConfig;

export function isEtcdPool(config: PoolConfig): config is EtcdPoolConfig {
  return config.coordination.kind === 'etcd';
}

/** Where the store's data is, or null: not in a directory. */
export function storePathOf({ store }: PoolConfig): string | null {
  return 'path' in store ? store.path : null;
}

const CONFIG_ENDING = '.json';

/** Names of the configured pools, in order; files with other names are not pools. */
export async function listPoolNames(directory: string): Promise<string[]> {
  try {
    const files = await readdir(directory);
    return files
      .filter((file) => file.endsWith(CONFIG_ENDING) && !file.startsWith('.'))
      .map((file) => file.slice(0, -CONFIG_ENDING.length))
      .sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** @throws TapdiskError POOL_NOT_FOUND, POOL_CONFIG_CORRUPT, POOL_CONFIG_VERSION_UNKNOWN */
export async function readPoolConfig(directory: string, name: string): Promise<PoolConfig> {
  const path = configPath(directory, name);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new TapdiskError(
      'POOL_NOT_FOUND',
      `there is no pool "${name}" in ${directory}; tapdisk-ts pool list shows those there are`,
    );
  }
  const format = { path, codePrefix: 'POOL_CONFIG' };
  if (versionOf(text) === ETCD_POOL_CONFIG_VERSION) {
    return parseJson(text, etcdPoolSchema, { ...format, version: ETCD_POOL_CONFIG_VERSION });
  }
  return parseJson(text, localPoolSchema, { ...format, version: LOCAL_POOL_CONFIG_VERSION });
}

/** Undefined where the text says none, or is no JSON: what is wrong is told by parsing it. */
function versionOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { version?: unknown } | null)?.version;
  } catch {
    return undefined;
  }
}

/** Makes a pool known. @throws TapdiskError POOL_EXISTS */
export async function writePoolConfig(
  directory: string,
  name: string,
  config: PoolConfig,
): Promise<void> {
  const path = configPath(directory, name);
  if ((await listPoolNames(directory)).includes(name)) {
    throw new TapdiskError('POOL_EXISTS', `pool "${name}" exists already, in ${path}`);
  }
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await writeFileDurably(path, `${JSON.stringify(fileOf(config), null, 2)}\n`);
}

/** Forgets a pool; its data stays. */
export async function removePoolConfig(directory: string, name: string): Promise<void> {
  await unlink(configPath(directory, name));
}

function fileOf(config: PoolConfig): object {
  if (!isEtcdPool(config)) return config;
  const { version, uuid, store } = config;
  const { cluster, ...settings } = config.coordination;
  return { version, uuid, store, coordination: { ...settings, ...cluster } };
}

function configPath(directory: string, name: string): string {
  return join(directory, checkName('pool', name) + CONFIG_ENDING);
}
