/** The right to one volume of a local pool, from attach to release. */
import { constants } from 'node:os';
import { errnoOf, TapdiskError } from '../../errors';
import { chooseStandby } from '../choose-standby';
import type { Attachment, MapStorage } from '../coordination';
import type { StoredRecord } from '../stored-record';
import { checkGeometry, chunkCountOf } from '../volume-geometry';
import type { VolumeRecord } from '../volume-record';
import { takeAttachLock, type HeldLock } from './attach-lock';
import { TEMPORARY_PREFIX } from './durable-file';
import type { FileSystem } from './file-system';
import { volumeLayout, type VolumeLayout } from './layout';
import { checkMapFile } from './map-file';
import { MapFileStorage } from './map-storage';
import { readRecord, writeRecord } from './record-file';
import { appointHeir, dismissHeir, livingHeir, livingStandbys } from './standby-files';
import { readState, writeState, type VolumeState } from './state-file';

export interface AttachSetting {
  readonly directory: string;
  readonly name: string;
  readonly readOnly: boolean;
  /** Of the standby that attaches, by its file's name. */
  readonly standbyId?: string;
  readonly fileSystem: FileSystem;
  /** A new layer id, durable. */
  readonly takeLayer: () => Promise<number>;
  /** Called when the attachment has ended. */
  readonly released: (attachment: LocalAttachment) => void;
}

export class LocalAttachment implements Attachment {
  readonly readOnly: boolean;
  readonly map: MapStorage;
  /** The kernel's lock cannot be lost while the process lives. */
  readonly fence = null;
  private releasing: Promise<void> | null = null;
  /** The last change of the record: each is made from what the one before it left. */
  private changing: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly setting: AttachSetting,
    private readonly volume: VolumeLayout,
    private readonly lock: HeldLock,
    private stored: StoredRecord,
    private state: VolumeState,
    readonly uncleanBefore: boolean,
    private readonly mapFd: number,
    private readonly mapFile: MapFileStorage,
  ) {
    this.readOnly = setting.readOnly;
    this.map = mapFile;
  }

  /** @throws TapdiskError VOLUME_ATTACHED and whatever a damaged file says; ENOENT as it comes */
  static async attach(setting: AttachSetting): Promise<LocalAttachment> {
    const volume = volumeLayout(setting.directory);
    const { name, readOnly, fileSystem } = setting;
    const lock = await takeAttachLock(volume, name, readOnly, fileSystem);
    try {
      const heir = await livingHeir(volume, fileSystem);
      if (heir !== null && heir.id !== setting.standbyId) throw promised(name, heir.name);
      return await LocalAttachment.open(setting, volume, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get record(): VolumeRecord {
    return { ...this.stored, epoch: this.state.epoch };
  }

  startLayer(): Promise<VolumeRecord> {
    return this.change(async (stored) => {
      const layer = await this.setting.takeLayer();
      return { ...stored, layer, frozenLayers: [...stored.frozenLayers, stored.layer] };
    });
  }

  /** Room in the map is durable before the record that needs it. */
  async resize(sizeBytes: number): Promise<VolumeRecord> {
    checkGeometry(sizeBytes, this.stored.chunkBytes);
    return this.change(async (stored) => {
      if (stored.sizeBytes === sizeBytes) return stored;
      await this.extendMap(chunkCountOf(sizeBytes, stored.chunkBytes));
      return { ...stored, sizeBytes };
    });
  }

  release(): Promise<void> {
    this.releasing ??= this.end();
    return this.releasing;
  }

  async handOver(to?: string): Promise<void> {
    if (this.readOnly || this.releasing !== null) throw this.notWritable();
    const { fileSystem, name } = this.setting;
    const heir = chooseStandby(await livingStandbys(this.volume, fileSystem), to, name);
    const errno = await new Promise<number>((resolve) => this.map.sync(resolve));
    if (errno !== 0) throw mapNotSynced(name, errno);
    await appointHeir(this.volume, heir.id, fileSystem);
    // The lock is given back whatever fails: then the volume is the heir's, as after a crash.
    await this.release().catch(() => {});
  }

  /** Makes the next record out of this one, and replaces it. */
  private change(next: (stored: StoredRecord) => Promise<StoredRecord>): Promise<VolumeRecord> {
    if (this.readOnly || this.releasing !== null) return Promise.reject(this.notWritable());
    const changed = this.changing.then(async () => {
      const { stored } = this;
      const after = await next(stored);
      if (after === stored) return this.record;
      await writeRecord(this.volume, after, this.setting.fileSystem);
      this.stored = after;
      return this.record;
    });
    this.changing = changed.catch(() => {});
    return changed;
  }

  private async extendMap(chunks: number): Promise<void> {
    const { name } = this.setting;
    let errno: number;
    try {
      errno = await this.mapFile.extend(chunks);
    } catch (error) {
      if (errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT') throw noSpace(name, error);
      throw error;
    }
    if (errno !== 0) throw mapNotSynced(name, errno);
  }

  private static async open(
    setting: AttachSetting,
    volume: VolumeLayout,
    lock: HeldLock,
  ): Promise<LocalAttachment> {
    const { name, readOnly, fileSystem } = setting;
    const stored = await readRecord(volume, fileSystem, name);
    const before = await readState(volume.state, stored.uuid, fileSystem);
    const mapFd = await fileSystem.open(volume.map, readOnly ? 'r' : 'r+');
    try {
      await checkMapFile(mapFd, volume.map, stored, fileSystem);
      let state = before;
      if (!readOnly) {
        await sweepTemporaries(volume, fileSystem);
        await dismissHeir(volume, fileSystem);
        state = { sequence: before.sequence + 1, epoch: before.epoch + 1, inUse: true };
        await writeState(volume.state, stored.uuid, state, fileSystem);
      }
      let attachment: LocalAttachment | null = null;
      const map = new MapFileStorage({
        fd: mapFd,
        path: volume.map,
        readOnly,
        uncleanBefore: before.inUse,
        fileSystem,
        record: () => attachment?.stored ?? stored,
      });
      attachment = new LocalAttachment(
        setting,
        volume,
        lock,
        stored,
        state,
        before.inUse,
        mapFd,
        map,
      );
      return attachment;
    } catch (error) {
      await fileSystem.close(mapFd);
      throw error;
    }
  }

  /** The lock is given back in any case; a volume whose map was not synced stays unclean. */
  private async end(): Promise<void> {
    const { fileSystem, name } = this.setting;
    await this.changing;
    try {
      const errno = await this.mapFile.close();
      if (errno !== 0) throw mapNotSynced(name, errno);
      if (!this.readOnly) {
        const { sequence, epoch } = this.state;
        const clean = { sequence: sequence + 1, epoch, inUse: false };
        await writeState(this.volume.state, this.stored.uuid, clean, fileSystem);
      }
    } finally {
      await fileSystem.close(this.mapFd);
      await this.lock.release();
      this.setting.released(this);
    }
  }

  private notWritable(): TapdiskError {
    const why = this.readOnly ? 'attached read-only' : 'not attached any more';
    return new TapdiskError(
      'VOLUME_READ_ONLY',
      `volume "${this.setting.name}" is ${why}, so it cannot be changed; attach it for writing`,
    );
  }
}

async function sweepTemporaries(volume: VolumeLayout, fileSystem: FileSystem): Promise<void> {
  for (const file of await fileSystem.readdir(volume.directory)) {
    if (!file.startsWith(TEMPORARY_PREFIX)) continue;
    await fileSystem.unlink(`${volume.directory}/${file}`).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }
}

function mapNotSynced(name: string, errno: number): TapdiskError {
  const errnoName = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
  return new TapdiskError(
    'MAP_NOT_SYNCED',
    `the chunk map of volume "${name}" could not be written to disk (${errnoName ?? errno}); ` +
      'what was written since the last flush may be lost, check the disk',
  );
}

function noSpace(name: string, cause: unknown): TapdiskError {
  return new TapdiskError(
    'NO_SPACE',
    `the pool has no room for the chunk map of a larger volume "${name}", which stays as it is; ` +
      'free some space',
    { cause },
  );
}

function promised(name: string, standby: string): TapdiskError {
  return new TapdiskError(
    'VOLUME_ATTACHED',
    `volume "${name}" is being handed over to process ${standby}; detach it there first`,
    { transient: true },
  );
}
