/** `pool.json`: what a pool's directory says of itself. Format in docs/formats.md. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { writeFileDurably } from '../coordination/local/durable-file';
import { FILE_MODE } from '../coordination/local/layout';
import { parseJson } from '../coordination/versioned-json';
import { errnoOf, TapdiskError } from '../errors';

export const POOL_IDENTITY_VERSION = 1;
export const POOL_MAGIC = 'tapdisk-ts pool';

export const POOL_IDENTITY_FILE = 'pool.json';
/** What the identity is renamed to when a pool's deletion begins. */
export const POOL_DELETING_FILE = 'pool.json.deleting';

const identitySchema = z.strictObject({
  magic: z.literal(POOL_MAGIC),
  version: z.literal(POOL_IDENTITY_VERSION),
  uuid: z.string().uuid(),
  store: z.string(),
  coordination: z.enum(['local', 'etcd']),
  createdAt: z.string().datetime(),
});

export type PoolIdentity = Readonly<
  Pick<z.infer<typeof identitySchema>, 'uuid' | 'store' | 'coordination' | 'createdAt'>
>;

/** @throws TapdiskError POOL_DIRECTORY_MISSING, POOL_IDENTITY_CORRUPT, POOL_IDENTITY_VERSION_UNKNOWN */
export async function readPoolIdentity(directory: string): Promise<PoolIdentity> {
  const path = join(directory, POOL_IDENTITY_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new TapdiskError(
      'POOL_DIRECTORY_MISSING',
      `${directory} holds no pool (there is no ${POOL_IDENTITY_FILE}); is its disk mounted?`,
    );
  }
  return parseJson(text, identitySchema, {
    path,
    version: POOL_IDENTITY_VERSION,
    magic: POOL_MAGIC,
    codePrefix: 'POOL_IDENTITY',
  });
}

/** The last step of making a pool: from here on the directory is one. */
export async function writePoolIdentity(directory: string, identity: PoolIdentity): Promise<void> {
  const { uuid, store, coordination, createdAt } = identity;
  const file = {
    magic: POOL_MAGIC,
    version: POOL_IDENTITY_VERSION,
    uuid,
    store,
    coordination,
    createdAt,
  };
  const path = join(directory, POOL_IDENTITY_FILE);
  await writeFileDurably(path, `${JSON.stringify(file, null, 2)}\n`, { mode: FILE_MODE });
}
