/** What every coordination does: records, the attach lock, and the durable half of a chunk map. */
import type { Fence } from '../fence';
import type { ErrnoCallback } from '../store/chunk-store';
import type { AttachOwner, VolumeRecord } from './volume-record';

/** A chunk-map entry to be made durable: `layer` 0 means that the chunk reads as zeros. */
export interface MapEntry {
  readonly chunk: number;
  readonly layer: number;
}

/** Number of chunk-map entries in one page (4 KiB of u32 entries). */
export const MAP_PAGE_ENTRIES = 1024;

/** The durable chunk map of one attached volume. */
export interface MapStorage {
  /**
   * Calls `page` for each page that may hold an entry other than 0, in ascending order.
   * @throws TapdiskError when the map cannot be read or is of an unknown format.
   */
  load(page: (pageIndex: number, entries: Uint32Array) => void): Promise<void>;

  /** Makes entries survive the death of this process. Calls back once, never synchronously. */
  commit(entries: readonly MapEntry[], done: ErrnoCallback): void;

  /** Makes everything committed survive a power cut. Calls back once, never synchronously. */
  sync(done: ErrnoCallback): void;
}

/** The exclusive right to one volume; ends with `release` or with the process. */
export interface Attachment {
  readonly record: VolumeRecord;
  readonly readOnly: boolean;
  /** True where the previous owner did not release: it was killed, or its machine died. */
  readonly uncleanBefore: boolean;
  readonly map: MapStorage;
  /** Null where the volume cannot be lost: the lock ends with the process and not before. */
  readonly fence: Fence | null;
  /** Freezes the current layer and starts a new one; resolves to the new record. */
  startLayer(): Promise<VolumeRecord>;
  /**
   * Gives the volume another size, durably; resolves to the new record. Whoever makes it smaller has
   * taken the chunks behind its new end out of the map, and zeroed what is left of the last one.
   *
   * Where it rejects with a transient error the record may have either size: the same call again
   * settles it. Nothing but the record and room in the map changes, so either is a good one.
   *
   * @throws TapdiskError VOLUME_READ_ONLY, NO_SPACE, and those of checkGeometry
   */
  resize(sizeBytes: number): Promise<VolumeRecord>;
  /** Gives the volume back. Everything written must have been synced. */
  release(): Promise<void>;
  /**
   * As `release`, but the volume is a standby's in the same instant: nobody comes between. Without
   * `to` there must be exactly one that is ready.
   *
   * Where it rejects, nothing was given back, and the volume is served on.
   *
   * @throws TapdiskError STANDBY_NOT_FOUND, STANDBY_AMBIGUOUS
   */
  handOver(to?: string): Promise<void>;
}

/** How a volume that somebody else has is got. */
export interface AttachOptions {
  readonly readOnly: boolean;
  /**
   * Takes it from an owner that is known to be dead, or hangs: makes sure that it can write no
   * more, which may take as long as its lease, and then attaches.
   */
  readonly steal?: boolean;
  /** Told again and again, while it has to be waited, for how long still. */
  readonly onWaiting?: (leftMs: number) => void;
}

/** One that stands by to attach a volume the moment that it is free or handed over. */
export interface Standby {
  /** Names it to `handOver`: "host:pid". */
  readonly name: string;
  /** As it is now; the chunk map was read as far as it goes. */
  readonly record: VolumeRecord;
  /** Resolves once, to the attachment. @throws TapdiskError STANDBY_CANCELLED, VOLUME_NOT_FOUND */
  readonly attached: Promise<Attachment>;
  cancel(): Promise<void>;
}

export interface CreateVolume {
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
}

/** A volume that was deleted while the store may still have its chunks. */
export interface PendingDeletion {
  readonly name: string;
  readonly uuid: string;
  readonly chunkBytes: number;
  /** Layers of its that no volume needs any more. */
  readonly layers: readonly number[];
}

export interface Coordination {
  readonly kind: string;
  create(volume: CreateVolume): Promise<VolumeRecord>;
  /** Records in the order of their names. */
  list(): Promise<VolumeRecord[]>;
  /** Names in order, of volumes with a damaged record too. */
  names(): Promise<string[]>;
  /** @throws TapdiskError VOLUME_NOT_FOUND */
  read(name: string): Promise<VolumeRecord>;
  /** The owner of a volume that is attached now, or null. */
  owner(name: string): Promise<AttachOwner | null>;
  /** @throws TapdiskError VOLUME_ATTACHED with the owner's host and pid. */
  attach(name: string, options: AttachOptions): Promise<Attachment>;
  /** Stands by for writing. */
  standBy(name: string): Promise<Standby>;
  /** Standbys that are ready, by name. */
  standbys(name: string): Promise<readonly string[]>;
  /** Number of chunks that the durable map names. */
  countChunks(name: string): Promise<number>;
  /**
   * Removes record and map, and returns the layers that no volume needs any more. The caller
   * deletes those from the store and then calls `finishDeletion`; until then the deletion is
   * pending, also after a crash.
   */
  delete(name: string): Promise<readonly number[]>;
  /** Deletions whose layers may still be in the store. Deleting a layer twice does no harm. */
  pendingDeletions(): Promise<readonly PendingDeletion[]>;
  /** The layers of a deletion are gone; forgets it. Nothing happens where it is unknown. */
  finishDeletion(uuid: string): Promise<void>;
  close(): Promise<void>;
}
