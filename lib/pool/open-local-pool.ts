/** Opens a pool of one host: its records, locks and maps are in its directory. */
import { CHUNK_BYTES_DEFAULT } from '../coordination/limits';
import { openLocalCoordination } from '../coordination/local/local-coordination';
import { checkPoolDirectory } from './check-directory';
import { mismatch } from './mismatch';
import type { Pool, PoolSetting } from './open-pool';
import type { LocalPoolConfig } from './pool-config';
import { readPoolIdentity } from './pool-identity';
import { checkStoreKind, openStoreOfKind } from './store-kinds';

/** As openPool. */
export async function openLocalPool(
  name: string,
  config: LocalPoolConfig,
  setting: PoolSetting,
): Promise<Pool> {
  const directory = config.store.path;
  await checkPoolDirectory(directory, setting.uid);
  const identity = await readPoolIdentity(directory);
  if (
    identity.uuid !== config.uuid ||
    identity.store !== config.store.kind ||
    identity.coordination !== 'local'
  ) {
    throw mismatch(name, directory, identity, { uuid: config.uuid, store: config.store.kind });
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
    cluster: null,
    chunkBytesDefault: CHUNK_BYTES_DEFAULT,
    checkVolume: () => undefined,
    storeNeedsAttachment: false,
    openStore: async (options) => openStoreOfKind(identity.store, directory, options),
    close: () => coordination.close(),
  };
}
