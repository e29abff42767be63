/** A volume that this process has attached, with its VBD and its recorder: all but a front end. */
import type {
  DiskState,
  DiskStatistics,
  NewSize,
  RecordedTrace,
  ResizedDisk,
} from '../control/disk-host';
import { TapdiskError } from '../errors';
import { FENCE_LOST, FENCE_OPEN } from '../fence';
import { chooseStandby } from '../coordination/choose-standby';
import type { Attachment } from '../coordination/coordination';
import { checkGeometry } from '../coordination/volume-geometry';
import type { VolumeRecord } from '../coordination/volume-record';
import { parseVolumeAddress } from '../pool/address';
import { openPool, type Pool } from '../pool/open-pool';
import { SECTOR_BYTES } from '../sector';
import type { ChunkStore, StoreEngine } from '../store/chunk-store';
import { TraceRecorder } from '../trace/recorder';
import type { FenceObserver } from '../vbd/fence-watch';
import { Vbd } from '../vbd/vbd';
import { Volume } from '../volume/volume';
import { allocatePages } from './allocate-pages';

/** How a volume is served, however it was got. */
export interface ServeSetting {
  /** "pool/volume" */
  readonly path: string;
  /** A recording ended by itself: its disk was full or too slow. */
  readonly onRecordingEnded?: (reason: TapdiskError) => void;
  /** Hears of stalls and of the volume's loss, where others can take it. */
  readonly fenceObserver?: FenceObserver;
}

export interface ServeVolume extends ServeSetting {
  readonly readOnly: boolean;
  /** Whose pools; this process's environment unless told. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export class ServedVolume {
  private recorder: TraceRecorder | null = null;
  /** Of a recorder that ended by itself. */
  private recorded: Promise<RecordedTrace> | null = null;
  private isVbdClosed = false;
  /** The last resize: a relative one begins with what the one before it left. */
  private resizing: Promise<unknown> = Promise.resolve();

  private constructor(
    /** "pool/volume" */
    readonly path: string,
    private readonly volume: Volume,
    readonly vbd: Vbd,
    /** What moves the bytes, for those who can help it; null where no engine does. */
    readonly engine: StoreEngine | null,
    private readonly pool: Pool,
    private readonly onRecordingEnded: (reason: TapdiskError) => void,
  ) {}

  /** Takes the attach lock and loads the chunk map. Where it rejects, nothing is left open. */
  static async open(setting: ServeVolume): Promise<ServedVolume> {
    const { path, readOnly, env } = setting;
    const address = parseVolumeAddress(path);
    const pool = await openPool(address.pool, env === undefined ? {} : { env });
    let attachment: Attachment;
    try {
      attachment = await pool.coordination.attach(address.volume, { readOnly });
    } catch (error) {
      await pool.close();
      throw error;
    }
    return ServedVolume.begin(setting, pool, attachment, null);
  }

  /**
   * Loads the chunk map of what was attached. `store`: opened beforehand for its chunks, or null.
   * Where it rejects, the attachment, the store and the pool are closed.
   */
  static async begin(
    { path, onRecordingEnded = () => {}, fenceObserver }: ServeSetting,
    pool: Pool,
    attachment: Attachment,
    store: ChunkStore | null,
  ): Promise<ServedVolume> {
    const { readOnly } = attachment;
    const { chunkBytes } = attachment.record;
    TraceRecorder.prepare();
    let opened = store;
    try {
      opened ??= await pool.openStore({ chunkBytes, readOnly, attachment });
      const volume = await Volume.open({ attachment, store: opened, allocate: allocatePages });
      const engine = opened.engine ?? null;
      const vbd = new Vbd(volume);
      if (vbd.fence !== null && fenceObserver !== undefined) vbd.fence.observer = fenceObserver;
      return new ServedVolume(path, volume, vbd, engine, pool, onRecordingEnded);
    } catch (error) {
      await opened?.close();
      await attachment.release();
      await pool.close();
      throw error;
    }
  }

  get record(): VolumeRecord {
    return this.volume.record;
  }

  get epoch(): number {
    return this.volume.record.epoch;
  }

  /** Null while the volume is surely this process's. */
  get rightState(): 'stalled' | 'lost' | null {
    const state = this.volume.fence?.state() ?? FENCE_OPEN;
    return state === FENCE_OPEN ? null : state === FENCE_LOST ? 'lost' : 'stalled';
  }

  /** Path of the trace being recorded, or null. */
  get recording(): string | null {
    return this.recorder?.path ?? null;
  }

  describeStore(): Readonly<Record<string, unknown>> {
    return this.volume.describeStore();
  }

  /** `ring` is what the front end counts, null without one. */
  statistics(state: DiskState, ring: object | null): DiskStatistics {
    const { record } = this.volume;
    return {
      volume: this.path,
      state,
      epoch: record.epoch,
      sectors: this.vbd.sectors,
      requests: this.vbd.statistics.snapshot(),
      inFlight: this.vbd.inFlight,
      chunks: {
        bytes: record.chunkBytes,
        owned: this.volume.ownedChunks,
        ...this.volume.counters,
      },
      ring,
      fence: this.vbd.fence?.statistics() ?? null,
      store: this.describeStore(),
      memoryBytes: process.memoryUsage.rss(),
      cpuUs: process.cpuUsage(),
    };
  }

  /** @throws TapdiskError RECORDING_BUSY, and those of TraceRecorder.start */
  async startRecording(trace: { path: string; payload: 'hash' | 'full' }): Promise<void> {
    if (this.recorder !== null) {
      throw new TapdiskError(
        'RECORDING_BUSY',
        `${this.path} is being recorded to ${this.recorder.path} already; stop that first`,
      );
    }
    const recorder = await TraceRecorder.start({
      ...trace,
      sectors: this.vbd.sectors,
      onEnded: (reason) => {
        this.onRecordingEnded(reason);
        // Gives the trace its end, so that it can be read; how it ended is told when it is stopped.
        this.vbd.observer = null;
        this.recorded = recorder.stop();
      },
    });
    this.recorder = recorder;
    this.recorded = null;
    this.vbd.observer = recorder;
  }

  /** @throws TapdiskError RECORDING_NOT_FOUND */
  async stopRecording(): Promise<RecordedTrace> {
    const { recorder } = this;
    if (recorder === null) {
      throw new TapdiskError('RECORDING_NOT_FOUND', `${this.path} is not being recorded`);
    }
    this.recorder = null;
    this.vbd.observer = null;
    return this.recorded ?? recorder.stop();
  }

  /**
   * Resolves to the name of the standby that the volume would go to.
   *
   * @throws TapdiskError STANDBY_NOT_FOUND, STANDBY_AMBIGUOUS
   */
  async findStandby(to: string | undefined): Promise<string> {
    const volume = this.volume.record.name;
    const ready = await this.pool.coordination.standbys(volume);
    return chooseStandby(
      ready.map((name) => ({ name })),
      to,
      volume,
    ).name;
  }

  /** Makes what was acknowledged durable; whether that succeeded is told by the next flush too. */
  flush(): Promise<void> {
    return new Promise((resolve) => this.volume.flush(() => resolve()));
  }

  /**
   * Gives the volume another size. The same size again settles what was cut short. A smaller one is
   * for a volume that has no front end.
   *
   * @throws TapdiskError SHRINK_ATTACHED unless `mayShrink`, and those of Vbd.resize, checkGeometry
   * and Pool.checkVolume
   */
  resize(size: NewSize, mayShrink = false): Promise<Omit<ResizedDisk, 'guestTold'>> {
    const resized = this.resizing.then(async () => {
      const { name, sizeBytes: beforeBytes, chunkBytes } = this.volume.record;
      const sizeBytes = 'toBytes' in size ? size.toBytes : beforeBytes + size.byBytes;
      checkGeometry(sizeBytes, chunkBytes);
      this.pool.checkVolume({ name, sizeBytes, chunkBytes });
      if (!mayShrink && sizeBytes < this.vbd.sectors * SECTOR_BYTES) throw this.cannotShrink();
      await this.vbd.resize(sizeBytes);
      return { beforeBytes, sizeBytes };
    });
    this.resizing = resized.catch(() => {});
    return resized;
  }

  /** Drains, flushes and gives the volume back; may be called again where it rejected. */
  async close(): Promise<void> {
    if (this.recorder !== null) await this.stopRecording();
    if (!this.isVbdClosed) await this.vbd.close();
    this.isVbdClosed = true;
    await this.pool.close();
  }

  private cannotShrink(): TapdiskError {
    return new TapdiskError(
      'SHRINK_ATTACHED',
      `${this.path} is in use, and a smaller size would cut off a part of its user's disk; detach ` +
        'it, then make it smaller',
    );
  }
}
