/** One disk of a tapdisk process: a volume, its VBD, and the front end it is connected to. */
import type { WatchReadable } from '../../native-bindings/watch';
import { TapdiskError } from '../errors';
import type {
  DiskState,
  DiskStatistics,
  DiskStatus,
  OpenedImage,
  RecordedTrace,
} from '../control/disk-host';
import type { Log } from '../control/log';
import type { Frontend } from '../frontend/frontend';
import { SECTOR_BYTES } from '../sector';
import { logFence } from './log-fence';
import { openFrontend } from './open-frontend';
import { ServedVolume } from './served-volume';

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
  private isPaused = false;
  private closing: Promise<void> | null = null;

  private constructor(
    private readonly options: OpenDisk,
    private readonly served: ServedVolume,
  ) {}

  /** As ServedVolume.open. */
  static async open(options: OpenDisk): Promise<Disk> {
    const { cookie, log, path } = options;
    const fenceObserver = logFence(log, path);
    const onRecordingEnded = (reason: TapdiskError): void =>
      log.warn({ cookie, code: reason.code }, reason.message);
    return new Disk(
      options,
      await ServedVolume.open({ ...options, onRecordingEnded, fenceObserver }),
    );
  }

  get image(): OpenedImage {
    return {
      sectors: this.served.vbd.sectors,
      sectorSize: SECTOR_BYTES,
      info: this.served.vbd.readOnly ? VDISK_READONLY : 0,
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
    const { vbd, engine } = this.served;
    const events = {
      onStopped: (reason: TapdiskError) => log.error({ cookie, code: reason.code }, reason.message),
      onCloseAsked,
    };
    const watch: WatchReadable | undefined =
      engine === null ? undefined : (...watched) => engine.watchReadable(...watched);
    const frontend = openFrontend(device.minor, vbd, events, watch);
    if (frontend.steadyMemory !== null) engine?.registerMemory(frontend.steadyMemory);
    vbd.writeThrough = !frontend.flushCapable;
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
      readOnly: this.served.vbd.readOnly,
      recording: this.served.recording,
    };
  }

  statistics(): DiskStatistics {
    const { frontend } = this;
    const ring = frontend === null ? null : { kind: frontend.kind, ...frontend.counters };
    return this.served.statistics(this.state(), ring);
  }

  /** Resolves when nothing is in flight and nothing will be taken until `resume`. */
  async pause(): Promise<void> {
    this.frontend?.pause();
    try {
      await this.frontend?.drained();
      await this.served.vbd.pause();
      this.isPaused = true;
    } catch (error) {
      this.resume();
      throw error;
    }
  }

  resume(): void {
    this.isPaused = false;
    this.served.vbd.resume();
    this.frontend?.resume();
  }

  startRecording(trace: { path: string; payload: 'hash' | 'full' }): Promise<void> {
    return this.served.startRecording(trace);
  }

  stopRecording(): Promise<RecordedTrace> {
    return this.served.stopRecording();
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
    if (this.frontend !== null) await this.closeFrontend(this.frontend);
    this.frontend = null;
    await this.served.close();
  }

  private async closeFrontend(frontend: Frontend): Promise<void> {
    await frontend.close();
    if (frontend.steadyMemory !== null) this.served.engine?.unregisterMemory(frontend.steadyMemory);
  }

  private state(): DiskState {
    if (this.frontend === null) return 'opened';
    if (this.frontend.stopped !== null) return 'stopped';
    return this.isPaused ? 'paused' : 'running';
  }
}
