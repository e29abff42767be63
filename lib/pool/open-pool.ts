/** Opens a pool by its name: finds its directory, checks that it is the one meant, and its owner. */
import type { Coordination } from '../coordination/coordination';
import { openLocalCoordination } from '../coordination/local/local-coordination';
import { checkName } from '../coordination/name';
import { TapdiskError } from '../errors';
import type { ChunkStore } from '../store/chunk-store';
import { checkPoolDirectory } from './check-directory';
import { poolsDirectory } from './config-directory';
import { readPoolConfig } from './pool-config';
import { readPoolIdentity } from './pool-identity';
import { checkStoreKind, openStoreOfKind, type OpenStore } from './store-kinds';

export interface Pool {
  readonly name: string;
  readonly uuid: string;
  readonly storeKind: string;
  /** Where its store and its coordination are. */
  readonly directory: string;
  readonly createdAt: string;
  readonly coordination: Coordination;
  /** Its stores write by the right of an attachment, so none can be opened beforehand. */
  readonly storeNeedsAttachment: boolean;
  /** A store for the volumes with chunks of this size; whoever opens it closes it. */
  openStore(options: OpenStore): Promise<ChunkStore>;
  /** Releases what is still attached. */
  close(): Promise<void>;
}

export interface PoolSetting {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Who asks; this process's user unless told. */
  readonly uid?: number;
}

/**
 * @throws TapdiskError POOL_NOT_FOUND, POOL_DIRECTORY_MISSING, POOL_DIRECTORY_FOREIGN,
 * POOL_MISMATCH, STORE_KIND_UNKNOWN, and POOL_CONFIG_… or POOL_IDENTITY_… CORRUPT, VERSION_UNKNOWN
 */
export async function openPool(name: string, setting: PoolSetting = {}): Promise<Pool> {
  checkName('pool', name);
  const config = await readPoolConfig(poolsDirectory(setting.env, setting.uid), name);
  const directory = config.store.path;
  await checkPoolDirectory(directory, setting.uid);
  const identity = await readPoolIdentity(directory);
  if (identity.uuid !== config.uuid || identity.store !== config.store.kind) {
    throw new TapdiskError(
      'POOL_MISMATCH',
      `${directory} holds another pool (${identity.store}, ${identity.uuid}) than "${name}" was ` +
        `created with (${config.store.kind}, ${config.uuid}); is the right disk mounted?`,
    );
  }
  checkStoreKind(identity.store);
  const coordination = await openLocalCoordination({ directory: config.coordination.path });
  return {
    name,
    uuid: identity.uuid,
    storeKind: identity.store,
    directory,
    createdAt: identity.createdAt,
    coordination,
    storeNeedsAttachment: false,
    openStore: async (options) => openStoreOfKind(identity.store, directory, options),
    close: () => coordination.close(),
  };
}
