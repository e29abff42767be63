/** What lists and `info` tell of a volume, gathered from its pool's coordination and store. */
import type { AttachOwner, VolumeRecord } from '../coordination/volume-record';
import type { Pool } from '../pool/open-pool';
import type { ChunkStore } from '../store/chunk-store';

export interface VolumeSummary extends VolumeRecord {
  readonly pool: string;
  /** Bytes that its layers take in the store. */
  readonly usedBytes: number;
  readonly owner: AttachOwner | null;
}

/** Opens a pool's stores as they are needed, for questions only. */
export class StoresForQuestions {
  private readonly stores = new Map<number, ChunkStore>();

  constructor(private readonly pool: Pool) {}

  async summarise(name: string): Promise<VolumeSummary> {
    const record = await this.pool.coordination.read(name);
    const owner = await this.pool.coordination.owner(name);
    const store = await this.store(record.chunkBytes);
    let usedBytes = 0;
    for (const layer of [record.layer, ...record.frozenLayers]) {
      usedBytes += await store.usedBytes(layer);
    }
    return { pool: this.pool.name, ...record, usedBytes, owner };
  }

  async close(): Promise<void> {
    for (const store of this.stores.values()) await store.close();
  }

  private async store(chunkBytes: number): Promise<ChunkStore> {
    let store = this.stores.get(chunkBytes);
    if (store === undefined) {
      store = await this.pool.openStore({ chunkBytes, readOnly: true, engine: 'threads' });
      this.stores.set(chunkBytes, store);
    }
    return store;
  }
}

/** "host:pid", "host:pid (read-only)" or "-". */
export function formatOwner(owner: AttachOwner | null): string {
  if (owner === null) return '-';
  return `${owner.host}:${owner.pid}${owner.readOnly ? ' (read-only)' : ''}`;
}
