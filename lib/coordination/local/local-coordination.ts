/**
 * Coordination for one host, in a directory: records, maps and locks are files.
 *
 * Whatever is more than one file's change happens below the pool's lock and ends in one rename, so
 * that a crash at any instant leaves nothing to mend by hand.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { errnoOf, TapdiskError } from '../../errors';
import type {
  Attachment,
  AttachOptions,
  Coordination,
  CreateVolume,
  PendingDeletion,
  Standby,
} from '../coordination';
import { checkName } from '../name';
import { layersOnlyOf, type StoredRecord } from '../stored-record';
import { checkGeometry } from '../volume-geometry';
import type { AttachOwner, VolumeRecord } from '../volume-record';
import { findOwner, takeAttachLock } from './attach-lock';
import { listPendingDeletions, moveAside, neededLayers } from './deletion';
import { NODE_FILE_SYSTEM, type FileSystem } from './file-system';
import { takeLayer } from './layer-counter';
import { localLayout, volumeLayout, type LocalLayout, type VolumeLayout } from './layout';
import { LocalAttachment } from './local-attachment';
import { LocalStandby } from './local-standby';
import { checkMapFile, readMapPages } from './map-file';
import { makeVolume, sweepHalfMade } from './make-volume';
import { tryWithPoolLock, withPoolLock } from './pool-lock';
import { readRecord } from './record-file';
import { announceStandby, livingStandbys } from './standby-files';
import { readState } from './state-file';

export interface LocalCoordinationOptions {
  /** Made by initLocalDirectory. */
  readonly directory: string;
  readonly fileSystem?: FileSystem;
  /** How long to wait for the pool's lock. */
  readonly lockTimeoutMs?: number;
}

/** Opens a pool's directory and sweeps what processes that died left half-made. */
export async function openLocalCoordination(
  options: LocalCoordinationOptions,
): Promise<Coordination> {
  const coordination = new LocalCoordination(options);
  await coordination.sweep();
  return coordination;
}

class LocalCoordination implements Coordination {
  readonly kind = 'local';
  private readonly layout: LocalLayout;
  private readonly fileSystem: FileSystem;
  private readonly attachments = new Set<LocalAttachment>();
  private readonly waiting = new Set<LocalStandby>();

  constructor(private readonly options: LocalCoordinationOptions) {
    this.layout = localLayout(options.directory);
    this.fileSystem = options.fileSystem ?? NODE_FILE_SYSTEM;
  }

  /** Where another process is at work, it has swept before. */
  async sweep(): Promise<void> {
    try {
      await tryWithPoolLock(this.layout.lock, this.fileSystem, () =>
        sweepHalfMade(this.layout, this.fileSystem),
      );
    } catch (error) {
      // A pool that may only be read can be opened all the same.
      if (errnoOf(error) !== 'EROFS' && errnoOf(error) !== 'EACCES') throw error;
    }
  }

  async create({ name, sizeBytes, chunkBytes }: CreateVolume): Promise<VolumeRecord> {
    checkName('volume', name);
    checkGeometry(sizeBytes, chunkBytes);
    return this.alone(async () => {
      if ((await this.names()).includes(name)) {
        throw new TapdiskError(
          'VOLUME_EXISTS',
          `volume "${name}" exists already; choose another name, or delete it first`,
        );
      }
      const record: StoredRecord = {
        name,
        uuid: randomUUID(),
        sizeBytes,
        chunkBytes,
        layer: await takeLayer(this.layout.layerCounter, this.fileSystem),
        frozenLayers: [],
        createdAt: new Date().toISOString(),
      };
      await makeVolume(this.layout, record, this.fileSystem);
      return { ...record, epoch: 0 };
    });
  }

  async names(): Promise<string[]> {
    return (await this.fileSystem.readdir(this.layout.volumes)).sort(byCodeUnit);
  }

  async list(): Promise<VolumeRecord[]> {
    const records: VolumeRecord[] = [];
    for (const name of await this.names()) {
      try {
        records.push(await this.readVolume(name));
      } catch (error) {
        // Deleted since its name was read.
        if (errnoOf(error) !== 'ENOENT') throw error;
      }
    }
    return records;
  }

  async read(name: string): Promise<VolumeRecord> {
    return this.found(name, () => this.readVolume(name));
  }

  async owner(name: string): Promise<AttachOwner | null> {
    const owner = await this.found(name, () => findOwner(this.volume(name), this.fileSystem));
    if (owner === null) return null;
    const { host, pid, readOnly, attachedAt } = owner;
    return { host, pid, readOnly, attachedAt };
  }

  async attach(name: string, { readOnly, steal }: AttachOptions): Promise<Attachment> {
    // Nothing to take: the lock of a dead process is free, and one that hangs cannot be fenced.
    if (steal === true) throw stealUnsupported(name);
    return this.take(name, readOnly);
  }

  async standBy(name: string): Promise<Standby> {
    const record = await this.read(name);
    const announced = await this.found(name, () =>
      announceStandby(this.volume(name), this.fileSystem),
    );
    const standby = new LocalStandby({
      name: announced?.name ?? `${hostname()}:${process.pid}`,
      record,
      attach: () => this.take(name, false, announced?.id),
      withdraw: async () => announced?.withdraw(),
      ended: (ended) => this.waiting.delete(ended),
    });
    this.waiting.add(standby);
    return standby;
  }

  async standbys(name: string): Promise<readonly string[]> {
    await this.read(name);
    const living = await livingStandbys(this.volume(name), this.fileSystem);
    return living.map((standby) => standby.name);
  }

  async countChunks(name: string): Promise<number> {
    return this.found(name, async () => {
      const volume = this.volume(name);
      const record = await readRecord(volume, this.fileSystem, name);
      const fd = await this.fileSystem.open(volume.map, 'r');
      try {
        await checkMapFile(fd, volume.map, record, this.fileSystem);
        let count = 0;
        await readMapPages(fd, volume.map, record, this.fileSystem, (_index, entries) => {
          for (const layer of entries) if (layer !== 0) count++;
        });
        return count;
      } finally {
        await this.fileSystem.close(fd);
      }
    });
  }

  async delete(name: string): Promise<readonly number[]> {
    return this.alone(() =>
      this.found(name, async () => {
        const volume = this.volume(name);
        const record = await readRecord(volume, this.fileSystem, name);
        const needed = await neededLayers(this.layout, this.fileSystem, name);
        const lock = await takeAttachLock(volume, name, false, this.fileSystem);
        try {
          await moveAside(this.layout, record, this.fileSystem);
        } finally {
          await lock.release();
        }
        return layersOnlyOf(record, needed);
      }),
    );
  }

  async pendingDeletions(): Promise<readonly PendingDeletion[]> {
    return this.alone(() => listPendingDeletions(this.layout, this.fileSystem));
  }

  async finishDeletion(uuid: string): Promise<void> {
    await this.alone(async () => {
      const uuids = await this.fileSystem.readdir(this.layout.deleted);
      if (uuids.includes(uuid)) await this.fileSystem.removeTree(join(this.layout.deleted, uuid));
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.waiting].map((standby) => standby.cancel()));
    await Promise.all([...this.attachments].map((attachment) => attachment.release()));
  }

  private async take(name: string, readOnly: boolean, standbyId?: string): Promise<Attachment> {
    const attachment = await this.found(name, () =>
      LocalAttachment.attach({
        directory: this.volume(name).directory,
        name,
        readOnly,
        ...(standbyId !== undefined && { standbyId }),
        fileSystem: this.fileSystem,
        takeLayer: () => this.alone(() => takeLayer(this.layout.layerCounter, this.fileSystem)),
        released: (ended) => this.attachments.delete(ended),
      }),
    );
    this.attachments.add(attachment);
    return attachment;
  }

  private async readVolume(name: string): Promise<VolumeRecord> {
    const volume = this.volume(name);
    const record = await readRecord(volume, this.fileSystem, name);
    const { epoch } = await readState(volume.state, record.uuid, this.fileSystem);
    return { ...record, epoch };
  }

  private volume(name: string): VolumeLayout {
    return volumeLayout(join(this.layout.volumes, checkName('volume', name)));
  }

  private alone<Result>(change: () => Promise<Result>): Promise<Result> {
    const { lockTimeoutMs } = this.options;
    return withPoolLock(this.layout.lock, this.fileSystem, change, lockTimeoutMs);
  }

  /** A file that is missing means that the volume is, unless its directory is there. */
  private async found<Result>(name: string, use: () => Promise<Result>): Promise<Result> {
    try {
      return await use();
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      if ((await this.names()).includes(name)) throw incomplete(name, error);
      throw new TapdiskError(
        'VOLUME_NOT_FOUND',
        `there is no volume "${name}" in ${this.layout.directory}; ` +
          'tapdisk-ts list shows those there are',
      );
    }
  }
}

function stealUnsupported(name: string): TapdiskError {
  return new TapdiskError(
    'STEAL_UNSUPPORTED',
    `volume "${name}" is in a pool of one host, where the lock ends with the process that has it; ` +
      'end that process, then attach',
  );
}

function incomplete(name: string, error: unknown): TapdiskError {
  const path = (error as NodeJS.ErrnoException).path ?? 'a file';
  return new TapdiskError(
    'VOLUME_RECORD_CORRUPT',
    `${path} of volume "${name}" is missing; restore it from a backup`,
    { cause: error },
  );
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
