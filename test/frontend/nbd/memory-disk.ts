/** A real VBD on a volume that lives in this process's memory. */
import type { Attachment, MapEntry } from '../../../lib/coordination/coordination';
import type { VolumeRecord } from '../../../lib/coordination/volume-record';
import { MemoryStore } from '../../../lib/store/memory-store';
import { Vbd } from '../../../lib/vbd/vbd';
import { Volume } from '../../../lib/volume/volume';

export const CHUNK_BYTES = 64 * 1024;

export async function memoryDisk(sizeBytes: number, readOnly = false): Promise<Vbd> {
  const later = (_entries: readonly MapEntry[], done: (errno: number) => void): void =>
    void setImmediate(done, 0);
  const record = {
    name: 'disk',
    uuid: '00000000-0000-4000-8000-000000000000',
    sizeBytes,
    chunkBytes: CHUNK_BYTES,
    layer: 1,
    frozenLayers: [],
    epoch: 1,
    createdAt: '2026-03-01T00:00:00.000Z',
  };
  const attachment: Attachment & { record: VolumeRecord } = {
    record,
    readOnly,
    uncleanBefore: false,
    map: {
      load: async () => undefined,
      commit: later,
      sync: (done) => void setImmediate(done, 0),
    },
    startLayer: async () => record,
    resize: async (newBytes) => (attachment.record = { ...record, sizeBytes: newBytes }),
    release: async () => undefined,
    handOver: async () => {},
    fence: null,
  };
  return new Vbd(await Volume.open({ attachment, store: new MemoryStore(CHUNK_BYTES) }));
}
