/** One disk of a tapdisk process: a volume, its VBD, and the front end it is connected to. */
import { setTimeout as sleep } from 'node:timers/promises';
import { prepareLibc } from '../../native-bindings/libc';
import type { WatchReadable } from '../../native-bindings/watch';
import { sentenceOf, TapdiskError } from '../errors';
import type {
  DiskState,
  DiskStatistics,
  DiskStatus,
  HandedOver,
  NewSize,
  OpenedImage,
  RecordedTrace,
  ResizedDisk,
} from '../control/disk-host';
import type { Log } from '../control/log';
import type { Frontend } from '../frontend/frontend';
import { SECTOR_BYTES } from '../sector';
import { logEngine } from './log-engine';
import { logFence } from './log-fence';
import { parseDiskPath } from './disk-path';
import { handDiskOver } from './hand-over';
import { RING_TAKE_OVER_RETRY_MS, RING_TAKE_OVER_TIMEOUT_MS } from './limits';
import { type DeviceNumber, loadFrontend, type OpenFrontend } from './open-frontend';
import { ServedVolume } from './served-volume';
import { WaitingVolume } from './waiting-volume';

/** blkif.h VDISK_READONLY. */
const VDISK_READONLY = 4;

export interface OpenDisk {
  readonly cookie: number;
  /** "pool/volume", and how to get it: see parseDiskPath. */
  readonly path: string;
  readonly readOnly: boolean;
  readonly log: Log;
  /** The other side of the ring asks to be closed. */
  readonly onCloseAsked: () => void;
}

export class Disk {
  private frontend: Frontend | null = null;
  /** The front end that was closed last. */
  private left: Frontend | null = null;
  private device: DeviceNumber | null = null;
  private isPaused = false;
  private isHandingOver = false;
  private closing: Promise<void> | null = null;
  /** Why what was waited for did not come, or not wholly. */
  private failure: string | null = null;

  private constructor(
    private readonly options: OpenDisk,
    /** "pool/volume" */
    private readonly path: string,
    private readonly openFrontend: OpenFrontend,
    private served: ServedVolume | null,
    private readonly waiting: WaitingVolume | null,
  ) {
    if (waiting !== null) void this.takeOver(waiting);
  }

  /** As ServedVolume.open, or for a disk to be waited for as WaitingVolume.open. */
  static async open(options: OpenDisk): Promise<Disk> {
    const { cookie, log } = options;
    const { path, mode, xenBackend } = parseDiskPath(options.path);
    const openFrontend = loadFrontend(xenBackend);
    const onRecordingEnded = (reason: TapdiskError): void =>
      log.warn({ cookie, code: reason.code }, reason.message);
    const fenceObserver = logFence(log, path);
    const setting = { path, readOnly: options.readOnly, onRecordingEnded, fenceObserver };
    if (mode === 'attach') {
      return new Disk(options, path, openFrontend, await ServedVolume.open(setting), null);
    }
    prepareLibc();
    return new Disk(options, path, openFrontend, null, await WaitingVolume.open(setting, mode));
  }

  get image(): OpenedImage {
    const sectors =
      this.served?.vbd.sectors ?? Math.floor(this.waiting!.record.sizeBytes / SECTOR_BYTES);
    return {
      sectors,
      sectorSize: SECTOR_BYTES,
      info: this.readOnly ? VDISK_READONLY : 0,
    };
  }

  /**
   * Serves the device's ring, or does so as soon as the volume is there.
   *
   * @throws TapdiskError DISK_CONNECTED, and those of opening the device
   */
  connect(device: DeviceNumber): void {
    if (this.device !== null) {
      throw new TapdiskError(
        'DISK_CONNECTED',
        `${this.path} is connected to ${this.frontend?.path ?? `device ${this.device.minor}`} ` +
          'already; close it first',
      );
    }
    if (this.served !== null) this.openRing(this.served, device);
    this.device = device;
  }

  status(): DiskStatus {
    return {
      cookie: this.options.cookie,
      pid: process.pid,
      volume: this.path,
      device: this.frontend?.path ?? null,
      domid: this.device?.domid ?? null,
      state: this.state(),
      reason: this.reason(),
      progress: this.served === null ? (this.waiting?.progress ?? null) : null,
      readOnly: this.readOnly,
      recording: this.served?.recording ?? null,
    };
  }

  statistics(): DiskStatistics {
    const { frontend, served } = this;
    if (served === null) {
      return { volume: this.path, state: this.state(), reason: this.reason() };
    }
    const ring = frontend === null ? null : { kind: frontend.kind, ...frontend.counters };
    return served.statistics(this.state(), ring);
  }

  /**
   * Resolves when nothing is in flight and nothing will be taken until `resume`. Rejects with the
   * disk resumed.
   */
  async pause(): Promise<void> {
    await this.pauseServed(this.mustServe());
  }

  resume(): void {
    this.resumeServed(this.mustServe());
  }

  /** Gives the disk to a standby; where it rejects, it is served as before. */
  async handOver(to: string | undefined): Promise<HandedOver> {
    const served = this.mustServe();
    this.isHandingOver = true;
    try {
      return await handDiskOver({
        volume: this.path,
        findStandby: (name) => served.findStandby(name),
        flush: () => served.flush(),
        giveTo: (standby) => served.vbd.handOver(standby),
        ringSurvivesClose: this.frontend?.survivesClose ?? true,
        wasPaused: this.isPaused,
        pause: (drainTimeoutMs) => this.pauseServed(served, drainTimeoutMs),
        resume: async () => this.resumeServed(served),
        closeRing: () => this.closeRing(),
        to,
      });
    } finally {
      this.isHandingOver = false;
    }
  }

  /** Makes the disk larger, and tells the other side of its ring where that can be told. */
  async resize(size: NewSize): Promise<ResizedDisk> {
    const served = this.mustServe();
    const resized = await served.resize(size);
    const { frontend } = this;
    const guestTold = frontend?.resized !== undefined && frontend.stopped === null;
    if (guestTold) frontend.resized?.(served.vbd.sectors);
    const { cookie, log } = this.options;
    log.info({ cookie, volume: this.path, ...resized, guestTold }, 'has another size');
    return { ...resized, guestTold };
  }

  startRecording(trace: { path: string; payload: 'hash' | 'full' }): Promise<void> {
    return this.mustServe().startRecording(trace);
  }

  stopRecording(): Promise<RecordedTrace> {
    return this.mustServe().stopRecording();
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
    if (this.served === null) return this.waiting?.cancel();
    if (this.isHandingOver) throw this.handingOver();
    if (this.isPaused) this.resumeServed(this.served);
    await this.closeRing();
    await this.served.close();
    await this.left?.afterRelease?.();
  }

  private async pauseServed(
    { vbd }: Pick<ServedVolume, 'vbd'>,
    drainTimeoutMs?: number,
  ): Promise<void> {
    this.frontend?.pause();
    try {
      await this.frontend?.drained(drainTimeoutMs);
      await vbd.pause();
      this.isPaused = true;
    } catch (error) {
      this.resumeServed({ vbd });
      throw error;
    }
  }

  private resumeServed({ vbd }: Pick<ServedVolume, 'vbd'>): void {
    this.isPaused = false;
    vbd.resume();
    this.frontend?.resume();
  }

  private async takeOver(waiting: WaitingVolume): Promise<void> {
    const { log, cookie } = this.options;
    try {
      const served = await waiting.served;
      const beganAtMs = performance.now();
      // The wait's own cancel closes it then.
      if (this.closing !== null) return;
      this.served = served;
      log.info({ cookie, volume: this.path, epoch: served.epoch }, 'took the volume over');
      if (this.device === null) return;
      await this.openRingWhenFree(served, this.device);
      const tookMs = Math.round(performance.now() - beganAtMs);
      log.info({ cookie, device: this.frontend?.path, tookMs }, 'serves the ring');
    } catch (error) {
      if (this.closing !== null) return;
      this.failure = sentenceOf(error);
      log.error({ cookie }, `not taken over: ${this.failure}`);
    }
  }

  /** Whoever handed the volume over lets go of its ring only then. */
  private async openRingWhenFree(served: ServedVolume, device: DeviceNumber): Promise<void> {
    const deadlineMs = performance.now() + RING_TAKE_OVER_TIMEOUT_MS;
    while (this.closing === null) {
      try {
        return this.openRing(served, device);
      } catch (error) {
        const inUse = error instanceof TapdiskError && error.code === 'SHM_IN_USE';
        if (!inUse || performance.now() >= deadlineMs) throw error;
      }
      await sleep(RING_TAKE_OVER_RETRY_MS);
    }
  }

  private openRing(served: ServedVolume, device: DeviceNumber): void {
    const { log, cookie, onCloseAsked } = this.options;
    const { vbd, engine } = served;
    const events = {
      onStopped: (reason: TapdiskError) => log.error({ cookie, code: reason.code }, reason.message),
      onCloseAsked,
      onNote: (facts: object, sentence: string) => log.info({ cookie, ...facts }, sentence),
    };
    const watch: WatchReadable | undefined =
      engine === null ? undefined : (...watched) => engine.watchReadable(...watched);
    const frontend = this.openFrontend(device, vbd, events, watch);
    for (const area of frontend.steadyMemory) engine?.registerMemory(area);
    vbd.writeThrough = !frontend.flushCapable;
    this.frontend = frontend;
    logEngine(log, this.path, served.describeStore());
    if (this.isPaused) frontend.pause();
    frontend.start();
  }

  private async closeRing(): Promise<void> {
    const { frontend, served } = this;
    if (frontend === null) return;
    await frontend.close();
    for (const area of frontend.steadyMemory) served?.engine?.unregisterMemory(area);
    this.frontend = null;
    this.left = frontend;
  }

  /** Whoever resumed it meanwhile would let a guest write to what is another's. */
  private mustServe(): ServedVolume {
    if (this.isHandingOver) throw this.handingOver();
    if (this.served !== null) return this.served;
    throw new TapdiskError(
      'DISK_STANDBY',
      `process ${process.pid} only stands by for ${this.path}; ask the one that serves it`,
    );
  }

  private handingOver(): TapdiskError {
    return new TapdiskError(
      'DISK_BUSY',
      `${this.path} is just being handed over; see in a moment who serves it`,
      { transient: true },
    );
  }

  private get readOnly(): boolean {
    return this.served?.vbd.readOnly ?? false;
  }

  private reason(): string | null {
    if (this.failure !== null) return this.failure;
    if (this.served === null) return this.waiting?.reason ?? null;
    return this.frontend?.stopped?.message ?? null;
  }

  private state(): DiskState {
    if (this.failure !== null) return 'stopped';
    if (this.served === null) return 'standby';
    const right = this.served.rightState;
    if (right !== null) return right;
    if (this.frontend === null) return 'opened';
    if (this.frontend.stopped !== null) return 'stopped';
    return this.isPaused ? 'paused' : 'running';
  }
}
