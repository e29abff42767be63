/** One disk of a tapdisk process: a volume, its VBD, and the front end it is connected to. */
import { TapdiskError } from '../errors';
import type { DiskState, DiskStatistics, DiskStatus, OpenedImage } from '../control/disk-host';
import type { Log } from '../control/log';
import type { Frontend } from '../frontend/frontend';
import { parseVolumeAddress } from '../pool/address';
import { openPool } from '../pool/open-pool';
import { SECTOR_BYTES } from '../sector';
import { TraceRecorder } from '../trace/recorder';
import { Vbd } from '../vbd/vbd';
import { Volume } from '../volume/volume';
import { allocatePages } from './allocate-pages';
import { openFrontend } from './open-frontend';

/** blkif.h VDISK_READONLY. */
const VDISK_READONLY = 4;

export interface OpenDisk {
  readonly cookie: number;
  /** "pool/volume" */
  readonly path: string;
  readonly readOnly: boolean;
  readonly log: Log;
  /** The other side of the ring asks to be closed. */
  readonly onCloseAsked: () => void;
}

export class Disk {
  private frontend: Frontend | null = null;
  private domid: number | null = null;
  private recorder: TraceRecorder | null = null;
  private isPaused = false;
  private closing: Promise<void> | null = null;

  private constructor(
    private readonly options: OpenDisk,
    private readonly volume: Volume,
    private readonly vbd: Vbd,
    private readonly closePool: () => Promise<void>,
  ) {}

  /** Takes the attach lock and loads the chunk map. Where it rejects, nothing is left open. */
  static async open(options: OpenDisk): Promise<Disk> {
    const address = parseVolumeAddress(options.path);
    const pool = await openPool(address.pool);
    try {
      const { readOnly } = options;
      const attachment = await pool.coordination.attach(address.volume, { readOnly });
      try {
        const { chunkBytes } = attachment.record;
        const store = await pool.openStore({ chunkBytes, readOnly });
        const volume = await Volume.open({ attachment, store, allocate: allocatePages });
        return new Disk(options, volume, new Vbd(volume), () => pool.close());
      } catch (error) {
        await attachment.release();
        throw error;
      }
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  get image(): OpenedImage {
    return {
      sectors: this.vbd.sectors,
      sectorSize: SECTOR_BYTES,
      info: this.vbd.readOnly ? VDISK_READONLY : 0,
    };
  }

  /** @throws TapdiskError DISK_CONNECTED, and those of opening the device */
  connect(device: { minor: number; domid: number }): void {
    if (this.frontend !== null) {
      throw new TapdiskError(
        'DISK_CONNECTED',
        `${this.options.path} is connected to ${this.frontend.path} already; close it first`,
      );
    }
    const { log, cookie, onCloseAsked } = this.options;
    const frontend = openFrontend(device.minor, this.vbd, {
      onStopped: (reason) => log.error({ cookie, code: reason.code }, reason.message),
      onCloseAsked,
    });
    this.vbd.writeThrough = !frontend.flushCapable;
    this.frontend = frontend;
    this.domid = device.domid;
    frontend.start();
  }

  status(): DiskStatus {
    return {
      cookie: this.options.cookie,
      pid: process.pid,
      volume: this.options.path,
      device: this.frontend?.path ?? null,
      domid: this.domid,
      state: this.state(),
      reason: this.frontend?.stopped?.message ?? null,
      readOnly: this.vbd.readOnly,
      recording: this.recorder?.path ?? null,
    };
  }

  statistics(): DiskStatistics {
    const { record } = this.volume;
    return {
      volume: this.options.path,
      state: this.state(),
      epoch: record.epoch,
      sectors: this.vbd.sectors,
      requests: this.vbd.statistics.snapshot(),
      inFlight: this.vbd.inFlight,
      chunks: {
        bytes: record.chunkBytes,
        owned: this.volume.ownedChunks,
        ...this.volume.counters,
      },
      ring: this.frontend === null ? null : { kind: this.frontend.kind, ...this.frontend.counters },
      store: this.volume.describeStore(),
      memoryBytes: process.memoryUsage.rss(),
      cpuUs: process.cpuUsage(),
    };
  }

  /** Resolves when nothing is in flight and nothing will be taken until `resume`. */
  async pause(): Promise<void> {
    this.frontend?.pause();
    try {
      await this.frontend?.drained();
      await this.vbd.pause();
      this.isPaused = true;
    } catch (error) {
      this.resume();
      throw error;
    }
  }

  resume(): void {
    this.isPaused = false;
    this.vbd.resume();
    this.frontend?.resume();
  }

  async startRecording(trace: { path: string; payload: 'hash' | 'full' }): Promise<void> {
    if (this.recorder !== null) {
      throw new TapdiskError(
        'RECORDING_BUSY',
        `${this.options.path} is being recorded to ${this.recorder.path} already; stop that first`,
      );
    }
    const recorder = await TraceRecorder.start({ ...trace, sectors: this.vbd.sectors });
    this.recorder = recorder;
    this.vbd.observer = recorder;
  }

  async stopRecording(): Promise<{ path: string; requests: number }> {
    const { recorder } = this;
    if (recorder === null) {
      throw new TapdiskError('RECORDING_NOT_FOUND', `${this.options.path} is not being recorded`);
    }
    this.recorder = null;
    this.vbd.observer = null;
    return recorder.stop();
  }

  /** Drains, unmaps, flushes and gives the volume back; may be called again where it rejected. */
  close(): Promise<void> {
    this.closing ??= this.closeNow().catch((error: unknown) => {
      this.closing = null;
      throw error;
    });
    return this.closing;
  }

  private async closeNow(): Promise<void> {
    if (this.isPaused) this.resume();
    await this.frontend?.close();
    this.frontend = null;
    if (this.recorder !== null) await this.stopRecording();
    await this.vbd.close();
    await this.closePool();
  }

  private state(): DiskState {
    if (this.frontend === null) return 'opened';
    if (this.frontend.stopped !== null) return 'stopped';
    return this.isPaused ? 'paused' : 'running';
  }
}
