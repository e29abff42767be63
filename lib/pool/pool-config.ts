/** What a host knows of a pool: its name, its store, its coordination. Format in docs/formats.md. */
import { mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../coordination/local/durable-file';
import { checkName } from '../coordination/name';
import { errnoOf, TapdiskError } from '../errors';
import { parseJson } from '../coordination/versioned-json';

export const POOL_CONFIG_VERSION = 1;

const poolConfigSchema = z.strictObject({
  version: z.literal(POOL_CONFIG_VERSION),
  /** Of the pool's identity: another directory mounted in its place is noticed. */
  uuid: z.uuid(),
  store: z.strictObject({ kind: z.string(), path: z.string() }),
  coordination: z.strictObject({ kind: z.literal('local'), path: z.string() }),
});

export type PoolConfig = Readonly<z.infer<typeof poolConfigSchema>>;

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
  return parseJson(text, poolConfigSchema, {
    path,
    version: POOL_CONFIG_VERSION,
    codePrefix: 'POOL_CONFIG',
  });
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
  await writeFileDurably(path, `${JSON.stringify(config, null, 2)}\n`);
}

/** Forgets a pool; its data stays. */
export async function removePoolConfig(directory: string, name: string): Promise<void> {
  await unlink(configPath(directory, name));
}

function configPath(directory: string, name: string): string {
  return join(directory, checkName('pool', name) + CONFIG_ENDING);
}
