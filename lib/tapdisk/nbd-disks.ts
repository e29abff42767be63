/** The volumes that one process exports over NBD, as its control socket sees them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  DiskAdmin,
  DiskState,
  DiskStatistics,
  DiskStatus,
  HandedOver,
  NewSize,
  RecordedTrace,
  ResizedDisk,
} from '../control/disk-host';
import { sentenceOf, TapdiskError } from '../errors';
import type { Log } from '../control/log';
import type { NbdExport } from '../frontend/nbd/export';
import { exportUri } from '../frontend/nbd/listen-address';
import { checkedAddress, NbdServer, type NbdServerOptions } from '../frontend/nbd/nbd-server';
import type { ListenAddress } from '../frontend/nbd/listen-address';
import { logEngine } from './log-engine';
import { logFence } from './log-fence';
import { diskByCookie } from './disk-by-cookie';
import { handDiskOver } from './hand-over';
import { RING_TAKE_OVER_RETRY_MS, RING_TAKE_OVER_TIMEOUT_MS } from './limits';
import { ServedVolume, type ServeVolume } from './served-volume';
import { WaitingVolume } from './waiting-volume';

export interface OpenNbdDisks {
  /** "pool/volume" each; they are the exports' names. */
  readonly volumes: readonly string[];
  readonly readOnly: boolean;
  /** Stand by for each, and offer it once it is free or handed over. */
  readonly wait?: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly addresses: readonly ListenAddress[];
  readonly server: Omit<NbdServerOptions, 'exports'>;
  /** How long a predecessor's address is waited for. */
  readonly listenTimeoutMs?: number;
  readonly log: Log;
  /** Clients can connect to these now. */
  readonly onServing: (uris: readonly string[]) => void;
  /** The last volume was detached. */
  readonly onUnused: () => void;
  /** What was stood by for will not come, and nothing else is served. */
  readonly onFailed: (reason: unknown) => void;
}

interface NbdDisk {
  /** "pool/volume" */
  readonly path: string;
  readonly waiting: WaitingVolume | null;
  served: ServedVolume | null;
  isPaused: boolean;
  isHandingOver: boolean;
  isLeaving: boolean;
  /** Why what was waited for did not come. */
  failure: string | null;
}

/** A volume's cookie is its place in the command line. */
export class NbdDisks implements DiskAdmin {
  private readonly disks = new Map<number, NbdDisk>();
  /** Under way. */
  private readonly handOvers = new Set<Promise<unknown>>();
  private listening: Promise<NbdServer> | null = null;
  private server: NbdServer | null = null;

  private constructor(private readonly options: OpenNbdDisks) {}

  /**
   * Attaches every volume, then listens; or stands by for every volume. Where one fails, nothing is
   * left open. `begin` is to follow.
   *
   * @throws TapdiskError VOLUME_TWICE_INVALID, those of ServedVolume.open, WaitingVolume.open and
   * NbdServer.listen
   */
  static async open(options: OpenNbdDisks): Promise<NbdDisks> {
    const opened = new NbdDisks(options);
    try {
      await opened.openVolumes();
      return opened;
    } catch (error) {
      await opened.closeAll();
      throw error;
    }
  }

  /** Tells what is served, now and as it comes. */
  begin(): void {
    const { onServing, wait } = this.options;
    if (wait !== true) onServing([...this.disks.values()].flatMap(({ path }) => this.urisOf(path)));
    for (const disk of this.disks.values()) {
      if (disk.waiting !== null) void this.takeOver(disk, disk.waiting);
    }
  }

  list(): DiskStatus[] {
    return [...this.disks].map(([cookie, { path, served, waiting, failure }]) => ({
      cookie,
      pid: process.pid,
      volume: path,
      device: served === null ? null : (this.urisOf(path)[0] ?? null),
      domid: null,
      state: this.stateOf(cookie),
      reason: failure ?? (served === null ? (waiting?.reason ?? null) : null),
      readOnly: served?.vbd.readOnly ?? false,
      recording: served?.recording ?? null,
    }));
  }

  async statistics(cookie: number): Promise<DiskStatistics> {
    const { path, served, failure, waiting } = this.disk(cookie);
    const state = this.stateOf(cookie);
    if (served === null) return { volume: path, state, reason: failure ?? waiting?.reason ?? null };
    const counters = {
      kind: 'nbd',
      ...this.server?.counters,
      connections: this.server?.connectionsOf(path) ?? 0,
    };
    return served.statistics(state, counters);
  }

  async pause(cookie: number): Promise<void> {
    await this.mustServe(cookie).vbd.pause();
    this.disk(cookie).isPaused = true;
  }

  async resume(cookie: number): Promise<void> {
    this.mustServe(cookie).vbd.resume();
    this.disk(cookie).isPaused = false;
  }

  async detach(cookie: number): Promise<void> {
    const disk = this.disk(cookie);
    if (disk.isHandingOver) throw handingOver(disk);
    const { served } = disk;
    if (served === null) {
      disk.isLeaving = true;
      await disk.waiting?.cancel();
    } else {
      if (disk.isPaused) await this.resume(cookie);
      await this.server?.withdraw(disk.path);
      await served.close();
    }
    this.forget(cookie);
  }

  /**
   * Clients are hung up on without a wait: they connect again, to whoever listens at their address
   * then, and send again what they were not answered.
   */
  async handOver(cookie: number, to: string | undefined): Promise<HandedOver> {
    const served = this.mustServe(cookie);
    const handing = this.handOverNow(cookie, served, to);
    this.handOvers.add(handing);
    try {
      return await handing;
    } finally {
      this.handOvers.delete(handing);
    }
  }

  /** A client is told the size when it connects, and never again. */
  async resize(cookie: number, size: NewSize): Promise<ResizedDisk> {
    return { ...(await this.mustServe(cookie).resize(size)), guestTold: false };
  }

  async startRecording(
    cookie: number,
    trace: { path: string; payload: 'hash' | 'full' },
  ): Promise<void> {
    await this.mustServe(cookie).startRecording(trace);
  }

  async stopRecording(cookie: number): Promise<RecordedTrace> {
    return this.mustServe(cookie).stopRecording();
  }

  /** Answers what is in flight, hangs up, and gives every volume back. */
  async closeAll(): Promise<void> {
    await Promise.allSettled(this.handOvers);
    for (const disk of this.disks.values()) {
      disk.isLeaving = true;
      if (disk.isPaused) disk.served?.vbd.resume();
      disk.isPaused = false;
    }
    const server = await this.listening?.catch(() => null);
    await server?.close();
    const results = await Promise.allSettled(
      [...this.disks].map(async ([cookie, { served, waiting }]) => {
        await (served === null ? waiting?.cancel() : served.close());
        this.disks.delete(cookie);
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  private async openVolumes(): Promise<void> {
    const { volumes, wait, addresses, server } = this.options;
    // What is refused here would else be refused when the volume was taken over already.
    for (const address of addresses) await checkedAddress(address, server);
    for (const [cookie, path] of volumes.entries()) {
      if (volumes.indexOf(path) !== cookie) {
        throw new TapdiskError('VOLUME_TWICE_INVALID', `${path} is named twice; name it once`);
      }
      const setting = this.settingOf(path);
      const waiting = wait === true ? await WaitingVolume.open(setting, 'wait') : null;
      const served = waiting === null ? await ServedVolume.open(setting) : null;
      const flags = { isPaused: false, isHandingOver: false, isLeaving: false, failure: null };
      this.disks.set(cookie, { path, waiting, served, ...flags });
      if (served !== null) logEngine(this.options.log, path, served.describeStore());
    }
    const exports = [...this.disks.values()].flatMap(({ served }) => served ?? []).map(exportOf);
    if (exports.length === 0) return;
    this.listening = this.listen(exports);
    this.server = await this.listening;
  }

  private settingOf(path: string): ServeVolume {
    const { readOnly, env, log } = this.options;
    const fenceObserver = logFence(log, path);
    return { path, readOnly, fenceObserver, ...(env !== undefined && { env }) };
  }

  private listen(exports: readonly NbdExport[]): Promise<NbdServer> {
    const { addresses, server } = this.options;
    return NbdServer.listen(addresses, { ...server, exports });
  }

  private async takeOver(disk: NbdDisk, waiting: WaitingVolume): Promise<void> {
    const { log, onServing } = this.options;
    const { path } = disk;
    try {
      const served = await waiting.served;
      const beganAtMs = performance.now();
      // Whoever cancels the wait closes it then.
      if (disk.isLeaving) return;
      disk.served = served;
      logEngine(log, path, served.describeStore());
      await this.offerWhenFree(disk, served);
      if (disk.isLeaving) return;
      const tookMs = Math.round(performance.now() - beganAtMs);
      log.info({ volume: path, epoch: served.epoch, tookMs }, 'took the volume over, serves it');
      onServing(this.urisOf(path));
    } catch (error) {
      if (!disk.isLeaving) await this.failed(disk, error);
    }
  }

  /** The address may still be its predecessor's. */
  private async offerWhenFree(disk: NbdDisk, served: ServedVolume): Promise<void> {
    const exported = exportOf(served);
    if (this.listening !== null) return (await this.listening).offer(exported);
    const isWanted = (): boolean => !disk.isLeaving;
    this.listening = this.listenWhenFree(exported, isWanted);
    try {
      this.server = await this.listening;
    } catch (error) {
      this.listening = null;
      throw error;
    }
  }

  private async listenWhenFree(exported: NbdExport, isWanted: () => boolean): Promise<NbdServer> {
    const { listenTimeoutMs = RING_TAKE_OVER_TIMEOUT_MS } = this.options;
    const deadlineMs = performance.now() + listenTimeoutMs;
    for (;;) {
      try {
        return await this.listen([exported]);
      } catch (error) {
        const isBusy = error instanceof TapdiskError && error.code === 'NBD_LISTEN_BUSY';
        if (!isBusy || !isWanted() || performance.now() >= deadlineMs) throw error;
      }
      await sleep(RING_TAKE_OVER_RETRY_MS);
    }
  }

  /** The others are served on, and this one is listed with the reason, while there are any. */
  private async failed(disk: NbdDisk, error: unknown): Promise<void> {
    disk.failure = sentenceOf(error);
    this.options.log.error({ volume: disk.path }, `not taken over: ${disk.failure}`);
    const { served } = disk;
    disk.served = null;
    await served?.close().catch((reason: unknown) => {
      this.options.log.error({ volume: disk.path }, sentenceOf(reason));
    });
    const isOver = [...this.disks.values()].every(({ failure }) => failure !== null);
    if (isOver) this.options.onFailed(error);
  }

  private async handOverNow(
    cookie: number,
    served: ServedVolume,
    to: string | undefined,
  ): Promise<HandedOver> {
    const disk = this.disk(cookie);
    const { vbd, path } = served;
    const wasPaused = disk.isPaused;
    disk.isHandingOver = true;
    let handed: HandedOver;
    try {
      handed = await handDiskOver({
        volume: path,
        findStandby: (name) => served.findStandby(name),
        flush: () => served.flush(),
        giveTo: (standby) => vbd.handOver(standby),
        ringSurvivesClose: true,
        wasPaused,
        pause: () => vbd.pause(),
        resume: async () => vbd.resume(),
        closeRing: async () => this.letGo(path),
        to,
      });
    } catch (error) {
      disk.isHandingOver = false;
      throw error;
    }
    try {
      await served.close();
    } finally {
      this.forget(cookie);
    }
    return handed;
  }

  /** Of the last one the address too, and first: whoever is hung up on shall not find us again. */
  private letGo(path: string): void {
    if (this.disks.size === 1) this.server?.stopListening();
    this.server?.hangUp(path);
  }

  private forget(cookie: number): void {
    this.disks.delete(cookie);
    if (this.disks.size === 0) this.options.onUnused();
  }

  private urisOf(path: string): string[] {
    const { server } = this;
    if (server === null) return [];
    const tls = this.options.server.tls !== null;
    return server.addresses.map((address) => exportUri(address, tls, path));
  }

  private stateOf(cookie: number): DiskState {
    const { served, failure, isPaused } = this.disk(cookie);
    if (failure !== null) return 'stopped';
    if (served === null) return 'standby';
    return served.rightState ?? (isPaused ? 'paused' : 'running');
  }

  private disk(cookie: number): NbdDisk {
    return diskByCookie(this.disks, cookie);
  }

  /** Whoever resumed a disk that is being handed over would let clients write to what is another's. */
  private mustServe(cookie: number): ServedVolume {
    const disk = this.disk(cookie);
    if (disk.isHandingOver) throw handingOver(disk);
    if (disk.served !== null) return disk.served;
    throw new TapdiskError(
      'DISK_STANDBY',
      `process ${process.pid} only stands by for ${disk.path}; ask the one that serves it`,
    );
  }
}

function handingOver({ path }: NbdDisk): TapdiskError {
  return new TapdiskError(
    'DISK_BUSY',
    `${path} is just being handed over; see in a moment who serves it`,
    { transient: true },
  );
}

function exportOf({ path, vbd, engine }: ServedVolume): NbdExport {
  return {
    name: path,
    description: `tapdisk-ts volume ${path}`,
    device: vbd,
    watchReadable: engine === null ? undefined : (...watched) => engine.watchReadable(...watched),
  };
}
