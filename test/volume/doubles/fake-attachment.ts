/** An attachment whose durable map lies on `Media`. */
import {
  MAP_PAGE_ENTRIES,
  type Attachment,
  type MapEntry,
  type MapStorage,
} from '../../../lib/coordination/coordination';
import type { Fence } from '../../../lib/fence';
import type { VolumeRecord } from '../../../lib/coordination/volume-record';
import type { ErrnoCallback } from '../../../lib/store/chunk-store';
import type { FakeStoreOptions } from './fake-store';

/** A record with what tests do not care about filled in. */
export function recordOf(parts: Partial<VolumeRecord>): VolumeRecord {
  return {
    name: 'disk',
    uuid: '00000000-0000-4000-8000-000000000000',
    sizeBytes: 1 << 20,
    chunkBytes: 1 << 16,
    layer: 1,
    frozenLayers: [],
    epoch: 1,
    createdAt: '2026-03-01T00:00:00.000Z',
    ...parts,
  };
}

export class FakeMap implements MapStorage {
  isDead = false;

  constructor(private readonly options: FakeStoreOptions) {}

  async load(page: (pageIndex: number, entries: Uint32Array) => void): Promise<void> {
    const pages = new Map<number, Uint32Array>();
    for (const [chunk, layer] of this.options.media.entriesNow()) {
      const index = Math.floor(chunk / MAP_PAGE_ENTRIES);
      const entries = pages.get(index) ?? new Uint32Array(MAP_PAGE_ENTRIES);
      pages.set(index, entries);
      entries[chunk % MAP_PAGE_ENTRIES] = layer;
    }
    for (const index of [...pages.keys()].sort((a, b) => a - b)) page(index, pages.get(index)!);
  }

  commit(entries: readonly MapEntry[], done: ErrnoCallback): void {
    if (this.isDead) return;
    const { media, processId, random } = this.options;
    const happen = (some: boolean): void => {
      for (const { chunk, layer } of entries) {
        if (!some || random.chance(0.5)) media.setEntry(processId, chunk, layer);
      }
    };
    this.options.schedule.add({
      kind: 'commit',
      happen: (fault) => happen(fault !== 0),
      happenPartly: () => happen(true),
      end: done,
    });
  }

  sync(done: ErrnoCallback): void {
    if (this.isDead) return;
    const { media } = this.options;
    const begin = media.now();
    this.options.schedule.add({
      kind: 'sync',
      happen: (fault) => {
        if (fault === 0) media.syncEntries(begin);
      },
      happenPartly: () => {},
      end: done,
    });
  }
}

export class FakeAttachment implements Attachment {
  readonly readOnly: boolean = false;
  isReleased = false;
  /** Makes another size durable, in its own time. */
  keepSize: (sizeBytes: number) => Promise<void> = async () => {};

  constructor(
    public record: VolumeRecord,
    readonly map: MapStorage,
    readonly uncleanBefore: boolean,
    readonly fence: Fence | null = null,
  ) {}

  startLayer(): Promise<VolumeRecord> {
    throw new Error('these tests start a layer by opening with another record');
  }

  async resize(sizeBytes: number): Promise<VolumeRecord> {
    await this.keepSize(sizeBytes);
    this.record = { ...this.record, sizeBytes };
    return this.record;
  }

  async release(): Promise<void> {
    this.isReleased = true;
  }

  async handOver(): Promise<void> {
    await this.release();
  }
}
