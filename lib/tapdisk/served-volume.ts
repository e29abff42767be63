/** A volume that this process has attached, with its VBD and its recorder: all but a front end. */
import type { DiskState, DiskStatistics, RecordedTrace } from '../control/disk-host';
import { TapdiskError } from '../errors';
import { parseVolumeAddress } from '../pool/address';
import { openPool } from '../pool/open-pool';
import type { StoreEngine } from '../store/chunk-store';
import { TraceRecorder } from '../trace/recorder';
import type { FenceObserver } from '../vbd/fence-watch';
import { Vbd } from '../vbd/vbd';
import { Volume } from '../volume/volume';
import { allocatePages } from './allocate-pages';

export interface ServeVolume {
  /** "pool/volume" */
  readonly path: string;
  readonly readOnly: boolean;
  /** Whose pools; this process's environment unless told. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A recording ended by itself: its disk was full or too slow. */
  readonly onRecordingEnded?: (reason: TapdiskError) => void;
  /** Hears of stalls and of the volume's loss, where others can take it. */
  readonly fenceObserver?: FenceObserver;
}

export class ServedVolume {
  private recorder: TraceRecorder | null = null;
  /** Of a recorder that ended by itself. */
  private recorded: Promise<RecordedTrace> | null = null;
  private isVbdClosed = false;

  private constructor(
    /** "pool/volume" */
    readonly path: string,
    private readonly volume: Volume,
    readonly vbd: Vbd,
    /** What moves the bytes, for those who can help it; null where no engine does. */
    readonly engine: StoreEngine | null,
    private readonly closePool: () => Promise<void>,
    private readonly onRecordingEnded: (reason: TapdiskError) => void,
  ) {}

  /** Takes the attach lock and loads the chunk map. Where it rejects, nothing is left open. */
  static async open({
    path,
    readOnly,
    env,
    onRecordingEnded = () => {},
    fenceObserver,
  }: ServeVolume): Promise<ServedVolume> {
    const address = parseVolumeAddress(path);
    const pool = await openPool(address.pool, env === undefined ? {} : { env });
    try {
      const attachment = await pool.coordination.attach(address.volume, { readOnly });
      try {
        const { chunkBytes } = attachment.record;
        const store = await pool.openStore({ chunkBytes, readOnly });
        const opening = Volume.open({ attachment, store, allocate: allocatePages });
        const volume = await opening.catch(async (error: unknown) => {
          await store.close();
          throw error;
        });
        const closePool = (): Promise<void> => pool.close();
        const engine = store.engine ?? null;
        const vbd = new Vbd(volume);
        if (vbd.fence !== null && fenceObserver !== undefined) vbd.fence.observer = fenceObserver;
        return new ServedVolume(path, volume, vbd, engine, closePool, onRecordingEnded);
      } catch (error) {
        await attachment.release();
        throw error;
      }
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /** Path of the trace being recorded, or null. */
  get recording(): string | null {
    return this.recorder?.path ?? null;
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
      store: this.volume.describeStore(),
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

  /** Drains, flushes and gives the volume back; may be called again where it rejected. */
  async close(): Promise<void> {
    if (this.recorder !== null) await this.stopRecording();
    if (!this.isVbdClosed) await this.vbd.close();
    this.isVbdClosed = true;
    await this.closePool();
  }
}
