/** Watches the back ends of this host in xenstore, and keeps one process for each disk that is ours. */
import type { Log } from '../control/log';
import { listRunning } from '../control/socket-client';
import { sentenceOf } from '../errors';
import { BACK_END_KINDS, backEndAt, type BackEndPath } from '../xenstore/back-end-path';
import type { XenStore, XenStoreWatch } from '../xenstore/xenstore';
import { KernelBackEnd } from './kernel-back-end';
import { STARTS_AT_ONCE_MAX } from './limits';
import { SpareProcess } from './spare-process';
import { StartTurns } from './start-turns';
import { SupervisedDisk, type Supervision } from './supervised-disk';
import { markersDirectory } from './volume-markers';
import { backEndOfDevice } from './xen-device';

export interface DaemonSetting
  extends
    Pick<Supervision, 'store' | 'env' | 'runtimeDirectory' | 'log'>,
    Partial<
      Pick<
        Supervision,
        'kernel' | 'firstStartTimeoutMs' | 'initWaitAfterMs' | 'deadDomainGraceMs' | 'endLimits'
      >
    > {}

/** Nodes whose change means something, for a disk that nobody of ours serves, and for any other. */
const TELLING = /\/(?:params|script|online|state)$/;
const NAMING = /\/(?:params|script)$/;

export class Daemon {
  private readonly disks = new Map<string, SupervisedDisk>();
  private readonly watches: XenStoreWatch[] = [];
  private readonly supervision: Supervision;
  private isClosed = false;

  private constructor(setting: DaemonSetting) {
    this.supervision = {
      kernel: new KernelBackEnd(),
      turns: new StartTurns(STARTS_AT_ONCE_MAX),
      spare: new SpareProcess(setting.runtimeDirectory, setting.env, setting.log),
      markersDirectory: markersDirectory(setting.env),
      ...setting,
    };
  }

  /**
   * Finds the processes that run already, then begins to watch; resolves when every watch is set.
   *
   * @throws XenStoreError
   */
  static async start(setting: DaemonSetting): Promise<Daemon> {
    const daemon = new Daemon(setting);
    await daemon.adoptRunning();
    for (const kind of BACK_END_KINDS) {
      await daemon.watch(`backend/${kind}`, (changed) => daemon.changed(kind, changed));
    }
    await daemon.watch('@releaseDomain', () => daemon.domainEnded());
    daemon.supervision.spare.prepare();
    return daemon;
  }

  /** Processes by the key of their back end, `vbd-5-51712`. */
  get serving(): ReadonlyMap<string, number> {
    const serving = new Map<string, number>();
    for (const [key, { pid }] of this.disks) if (pid !== null) serving.set(key, pid);
    return serving;
  }

  /** Stops watching; the processes go on. Resolves when none is being started any more. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.allSettled(this.watches.map((watch) => watch.stop()));
    await Promise.all([...this.disks.values()].map((disk) => disk.close()));
    await this.supervision.spare.close();
  }

  private get log(): Log {
    return this.supervision.log;
  }

  private get store(): XenStore {
    return this.supervision.store;
  }

  private async adoptRunning(): Promise<void> {
    for (const { pid, disks, silence } of await listRunning(this.supervision.env)) {
      if (silence !== null) this.log.warn({ pid }, `a process does not answer: ${silence}`);
      for (const { device, volume } of disks) {
        const at = backEndOfDevice(device);
        if (at === null) continue;
        this.log.info({ disk: at.key, volume, pid }, 'goes on with a disk that is served');
        this.disk(at).adopt(pid, volume);
        this.disk(at).look();
      }
    }
  }

  private async watch(path: string, onChange: (changed: string) => void): Promise<void> {
    const watch = await this.store.watch(path, (changed) => {
      if (!this.isClosed) onChange(changed);
    });
    this.watches.push(watch);
  }

  private changed(kind: BackEndPath['kind'], changed: string): void {
    const at = backEndAt(changed);
    if (at === null) {
      // A domain's directory, or all: what is there, and what was.
      for (const disk of this.disks.values()) if (disk.backEnd.kind === kind) disk.look();
      this.scan(kind).catch((error: unknown) =>
        this.log.error({}, `backend/${kind} cannot be read: ${sentenceOf(error)}`),
      );
      return;
    }
    const disk = this.disk(at);
    if (changed === at.path) return disk.remade();
    // Front ends have their back ends change state as often as they like: not ours to follow.
    const telling = disk.pid !== null || disk.isForeign ? NAMING : TELLING;
    if (telling.test(changed)) disk.look();
  }

  private async scan(kind: BackEndPath['kind']): Promise<void> {
    for (const domid of (await this.store.list(`backend/${kind}`)) ?? []) {
      for (const devid of (await this.store.list(`backend/${kind}/${domid}`)) ?? []) {
        const at = backEndAt(`backend/${kind}/${domid}/${devid}`);
        if (at === null || this.isClosed) continue;
        const disk = this.disk(at);
        disk.look();
        await disk.domainEnded();
      }
    }
  }

  private domainEnded(): void {
    for (const disk of this.disks.values()) {
      disk.domainEnded().catch((error: unknown) => this.log.warn({}, sentenceOf(error)));
    }
  }

  private disk(at: BackEndPath): SupervisedDisk {
    let disk = this.disks.get(at.key);
    if (disk === undefined) {
      disk = new SupervisedDisk(at, this.supervision, () => this.disks.delete(at.key));
      this.disks.set(at.key, disk);
    }
    return disk;
  }
}
