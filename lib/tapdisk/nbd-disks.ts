/** The volumes that one process exports over NBD, as its control socket sees them. */
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
import { TapdiskError } from '../errors';
import type { Log } from '../control/log';
import type { NbdExport } from '../frontend/nbd/export';
import { exportUri } from '../frontend/nbd/listen-address';
import { NbdServer, type NbdServerOptions } from '../frontend/nbd/nbd-server';
import type { ListenAddress } from '../frontend/nbd/listen-address';
import { logEngine } from './log-engine';
import { logFence } from './log-fence';
import { handDiskOver } from './hand-over';
import { ServedVolume } from './served-volume';

export interface OpenNbdDisks {
  /** "pool/volume" each; they are the exports' names. */
  readonly volumes: readonly string[];
  readonly readOnly: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly addresses: readonly ListenAddress[];
  readonly server: Omit<NbdServerOptions, 'exports'>;
  readonly log: Log;
  /** The last volume was detached. */
  readonly onUnused: () => void;
}

/** A volume's cookie is its place in the command line. */
export class NbdDisks implements DiskAdmin {
  private readonly disks = new Map<number, ServedVolume>();
  private readonly paused = new Set<number>();
  private server: NbdServer | null = null;

  private constructor(private readonly options: OpenNbdDisks) {}

  /**
   * Attaches every volume, then listens; where one fails, nothing is left open.
   *
   * @throws TapdiskError EXPORT_REPEATED_INVALID, those of ServedVolume.open and NbdServer.listen
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

  /** What clients connect to: one for each volume and address. */
  get uris(): readonly string[] {
    return [...this.disks.values()].flatMap(({ path }) => this.urisOf(path));
  }

  list(): DiskStatus[] {
    return [...this.disks].map(([cookie, served]) => ({
      cookie,
      pid: process.pid,
      volume: served.path,
      device: this.urisOf(served.path)[0] ?? null,
      domid: null,
      state: this.stateOf(cookie),
      reason: null,
      readOnly: served.vbd.readOnly,
      recording: served.recording,
    }));
  }

  async statistics(cookie: number): Promise<DiskStatistics> {
    const served = this.disk(cookie);
    const counters = {
      kind: 'nbd',
      ...this.server?.counters,
      connections: this.server?.connectionsOf(served.path) ?? 0,
    };
    return served.statistics(this.stateOf(cookie), counters);
  }

  async pause(cookie: number): Promise<void> {
    await this.disk(cookie).vbd.pause();
    this.paused.add(cookie);
  }

  async resume(cookie: number): Promise<void> {
    this.disk(cookie).vbd.resume();
    this.paused.delete(cookie);
  }

  async detach(cookie: number): Promise<void> {
    const served = this.disk(cookie);
    if (this.paused.has(cookie)) await this.resume(cookie);
    await this.server?.withdraw(served.path);
    await served.close();
    this.disks.delete(cookie);
    if (this.disks.size === 0) this.options.onUnused();
  }

  /** Clients that are hung up on connect again, to whoever listens at the address then. */
  async handOver(cookie: number, to: string | undefined): Promise<HandedOver> {
    const served = this.disk(cookie);
    const handed = await handDiskOver({
      volume: served.path,
      findStandby: (name) => served.findStandby(name),
      flush: () => served.flush(),
      giveTo: (standby) => served.vbd.handOver(standby),
      ringSurvivesClose: true,
      wasPaused: this.paused.has(cookie),
      pause: () => this.pause(cookie),
      resume: () => this.resume(cookie),
      closeRing: () => this.server?.withdraw(served.path) ?? Promise.resolve(),
      to,
    });
    this.paused.delete(cookie);
    await this.detach(cookie);
    return handed;
  }

  /** A client is told the size when it connects, and never again. */
  async resize(cookie: number, size: NewSize): Promise<ResizedDisk> {
    return { ...(await this.disk(cookie).resize(size)), guestTold: false };
  }

  async startRecording(
    cookie: number,
    trace: { path: string; payload: 'hash' | 'full' },
  ): Promise<void> {
    await this.disk(cookie).startRecording(trace);
  }

  async stopRecording(cookie: number): Promise<RecordedTrace> {
    return this.disk(cookie).stopRecording();
  }

  /** Answers what is in flight, hangs up, and gives every volume back. */
  async closeAll(): Promise<void> {
    for (const cookie of this.paused) await this.resume(cookie);
    await this.server?.close();
    const results = await Promise.allSettled(
      [...this.disks].map(async ([cookie, served]) => {
        await served.close();
        this.disks.delete(cookie);
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  private async openVolumes(): Promise<void> {
    const { volumes, readOnly, env, addresses, server, log } = this.options;
    for (const [cookie, path] of volumes.entries()) {
      if (volumes.indexOf(path) !== cookie) {
        throw new TapdiskError('VOLUME_TWICE_INVALID', `${path} is named twice; name it once`);
      }
      const fenceObserver = logFence(log, path);
      const setting = { path, readOnly, fenceObserver, ...(env !== undefined && { env }) };
      const served = await ServedVolume.open(setting);
      this.disks.set(cookie, served);
      logEngine(log, path, served.describeStore());
    }
    const exports = [...this.disks.values()].map(exportOf);
    this.server = await NbdServer.listen(addresses, { ...server, exports });
  }

  private urisOf(path: string): string[] {
    const { server } = this;
    if (server === null) return [];
    const tls = this.options.server.tls !== null;
    return server.addresses.map((address) => exportUri(address, tls, path));
  }

  private stateOf(cookie: number): DiskState {
    return this.paused.has(cookie) ? 'paused' : 'running';
  }

  private disk(cookie: number): ServedVolume {
    const served = this.disks.get(cookie);
    if (served !== undefined) return served;
    throw new TapdiskError(
      'DISK_NOT_FOUND',
      `process ${process.pid} has no disk with cookie ${cookie}; tapdisk-ts list --running shows those there are`,
    );
  }
}

function exportOf({ path, vbd, engine }: ServedVolume): NbdExport {
  return {
    name: path,
    description: `tapdisk-ts volume ${path}`,
    device: vbd,
    watchReadable: engine === null ? undefined : (...watched) => engine.watchReadable(...watched),
  };
}
