/** One virtual disk of a guest: started, started again when its process dies, ended with its domain. */
import { type ProcessWatch, watchProcess } from '../../native-bindings/process-watch';
import type { Log } from '../control/log';
import { socketPathOf } from '../control/socket-files';
import type { StartedTapdisk } from '../control/start-tapdisk';
import { sentenceOf, TapdiskError } from '../errors';
import { formatDiskPath } from '../tapdisk/disk-path';
import type { BackEndPath } from '../xenstore/back-end-path';
import type { NodeChanges } from '../xenstore/directory';
import { XENBUS_CLOSED, XENBUS_INIT_WAIT, XENBUS_INITIALISING } from '../xenstore/xenbus-state';
import type { XenStore } from '../xenstore/xenstore';
import {
  type BackEndNodes,
  changeState,
  PID_NODE,
  readBackEnd,
  writeBackEnd,
} from './back-end-nodes';
import { type EndLimits, endProcess } from './end-process';
import type { KernelBackEnd } from './kernel-back-end';
import {
  DEAD_DOMAIN_GRACE_MS,
  FIRST_START_PAUSE_MS,
  FIRST_START_TIMEOUT_MS,
  INIT_WAIT_AFTER_MS,
  RESTART_PAUSE_MS_MAX,
  RESTART_PAUSE_MS_MIN,
  RUN_STEADY_MS,
} from './limits';
import { type NamedVolume, namedVolume } from './named-volume';
import type { SpareProcess } from './spare-process';
import { findStarted, removeStartRecord, writeStartRecord } from './start-record';
import type { StartTurns } from './start-turns';

export interface Supervision {
  readonly store: XenStore;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runtimeDirectory: string;
  readonly markersDirectory: string;
  readonly kernel: KernelBackEnd;
  readonly turns: StartTurns;
  readonly spare: SpareProcess;
  readonly log: Log;
  readonly firstStartTimeoutMs?: number;
  readonly initWaitAfterMs?: number;
  readonly deadDomainGraceMs?: number;
  readonly endLimits?: EndLimits;
}

interface Serving {
  readonly pid: number;
  /** "pool/volume" */
  readonly volume: string;
  readonly sinceMs: number;
  readonly watch: ProcessWatch;
}

/** xenstore takes 4096 bytes, path included. */
const SENTENCE_CHARACTERS_MAX = 1000;

export class SupervisedDisk {
  private serving: Serving | null = null;
  /** It has been served, so a guest may be at work: it is started again for as long as it takes. */
  private hasServed = false;
  /** Its first start was refused, and the toolstack told: nothing more until it is asked for anew. */
  private isRefused = false;
  private isEnding = false;
  /** As far as its nodes tell now, it is another back end's. */
  isForeign = false;
  private deathsInARow = 0;
  private firstTryMs: number | null = null;
  private retry: NodeJS.Timeout | null = null;
  private burial: NodeJS.Timeout | null = null;
  private looking: Promise<void> | null = null;
  private lookAgain = false;
  private readonly closed = new AbortController();

  constructor(
    readonly backEnd: BackEndPath,
    private readonly setting: Supervision,
    /** Its directory and its process are gone. */
    private readonly onGone: () => void,
  ) {}

  /** The process that serves it, or null. */
  get pid(): number | null {
    return this.serving?.pid ?? null;
  }

  /** A process that an earlier daemon started, and that serves this back end. */
  adopt(pid: number, volume: string): void {
    this.hasServed = true;
    this.serve(pid, volume);
  }

  /** Something in its directory changed, or may have. Never rejects. */
  look(): void {
    this.lookAgain = true;
    this.looking ??= this.lookUntilSeen().finally(() => (this.looking = null));
  }

  /** Its directory itself was made, or removed: what was refused before may be another disk. */
  remade(): void {
    this.isRefused = false;
    this.look();
  }

  /** A domain ended. Where it was this disk's, its toolstack has a while to clean up. */
  async domainEnded(): Promise<void> {
    const { store, deadDomainGraceMs } = this.setting;
    if (this.burial !== null || (await store.domainExists(this.backEnd.domid))) return;
    if (this.closed.signal.aborted) return;
    this.burial = setTimeout(() => {
      this.burial = null;
      this.bury().catch((error: unknown) => this.warn(error));
    }, deadDomainGraceMs ?? DEAD_DOMAIN_GRACE_MS);
  }

  /** The daemon ends; the process goes on. Resolves when nothing is being started. */
  async close(): Promise<void> {
    this.closed.abort();
    this.clearTimers();
    await this.looking;
    this.serving?.watch.stop();
  }

  private clearTimers(): void {
    if (this.retry !== null) clearTimeout(this.retry);
    if (this.burial !== null) clearTimeout(this.burial);
  }

  private forget(): void {
    this.clearTimers();
    this.closed.abort();
    this.onGone();
  }

  private async lookUntilSeen(): Promise<void> {
    while (this.lookAgain && !this.closed.signal.aborted) {
      this.lookAgain = false;
      try {
        await this.lookOnce();
      } catch (error) {
        this.warn(error);
      }
    }
  }

  private async lookOnce(): Promise<void> {
    const nodes = await readBackEnd(this.setting.store, this.backEnd.path);
    if (nodes === null) {
      if (this.serving !== null) this.endServing('its back end is gone');
      // Else it was made anew meanwhile, and is looked at once more.
      else if (!this.lookAgain) this.forget();
      return;
    }
    const isLeaving = nodes.online === '0' && nodes.state !== XENBUS_CLOSED;
    if ((this.isRefused && !isLeaving) || this.retry !== null) return;
    let named: NamedVolume | null;
    try {
      named = namedVolume(this.backEnd, nodes, this.setting.markersDirectory);
    } catch (error) {
      if (this.serving !== null) return;
      return isLeaving ? this.giveUp() : this.refuse(error, nodes, true);
    }
    this.isForeign = named === null;
    if (named === null) return;
    if (this.serving !== null) {
      if (this.serving.volume !== named.volume) this.endServing(`it is ${named.volume} now`);
      return;
    }
    // Taken away; until it is closed a guest may still write to it.
    if (nodes.online === '0') {
      if (nodes.state === XENBUS_CLOSED) return;
      if (!this.hasServed && nodes[PID_NODE] === undefined) return this.giveUp();
    }
    await this.setting.turns.run(() => this.start(named, nodes));
  }

  private async start(named: NamedVolume, nodes: BackEndNodes): Promise<void> {
    if (this.closed.signal.aborted) return;
    const { backEnd, setting } = this;
    const { runtimeDirectory } = setting;
    this.firstTryMs ??= performance.now();
    const slow = this.showWaitingLater(nodes);
    try {
      const isNew = nodes.state === XENBUS_INITIALISING;
      if (backEnd.kind === 'vbd') await setting.kernel.release(backEnd.key, isNew);
      const started = await findStarted(runtimeDirectory, backEnd);
      if (started !== null) return this.adopt(started, named.volume);
      const { pid } = await this.launch(named);
      this.serve(pid, named.volume);
      setting.log.info({ disk: backEnd.key, volume: named.volume, pid }, 'serves the disk');
      await this.write({ [PID_NODE]: String(pid), ...(this.hasServed && NO_ERROR) });
      this.hasServed = true;
    } catch (error) {
      await this.startFailed(error, named, nodes);
    } finally {
      clearTimeout(slow);
    }
  }

  /** The process offers its features in that state too, before its guest runs. */
  private showWaitingLater({ state }: BackEndNodes): NodeJS.Timeout | undefined {
    if (this.backEnd.kind !== 'vbd' || state !== XENBUS_INITIALISING) return undefined;
    const { store, initWaitAfterMs = INIT_WAIT_AFTER_MS } = this.setting;
    const triedMs = performance.now() - (this.firstTryMs ?? performance.now());
    return setTimeout(
      () => {
        changeState(store, this.backEnd.path, state, XENBUS_INIT_WAIT).catch((error: unknown) =>
          this.warn(error),
        );
      },
      Math.max(0, initWaitAfterMs - triedMs),
    );
  }

  /** Takes the process that is ready, or starts one, and gives it the disk. */
  private async launch(named: NamedVolume): Promise<StartedTapdisk> {
    const { setting, backEnd } = this;
    const { volume, mode, readOnly } = named;
    const launched = await setting.spare.take(`${volume.replace('/', '.')}.log`);
    try {
      writeStartRecord(setting.runtimeDirectory, backEnd.key, launched.pid);
      const diskPath = formatDiskPath({ path: volume, mode, xenBackend: backEnd.path });
      return await launched.connect(
        { diskPath, readOnly, cookie: 0, domid: backEnd.domid },
        async (started) => started,
      );
    } finally {
      await launched.dispose();
      setting.spare.prepare();
    }
  }

  private serve(pid: number, volume: string): void {
    const watch = watchProcess(pid, () => this.ended(pid));
    this.serving = { pid, volume, sinceMs: performance.now(), watch };
  }

  private ended(pid: number): void {
    const { runtimeDirectory, log } = this.setting;
    const ranMs = performance.now() - (this.serving?.sinceMs ?? 0);
    this.serving = null;
    removeStartRecord(runtimeDirectory, this.backEnd.key);
    log.warn({ disk: this.backEnd.key, pid, ranMs: Math.round(ranMs) }, 'the process has ended');
    if (ranMs >= RUN_STEADY_MS) this.deathsInARow = 0;
    const pauseMs = this.isEnding ? 0 : pauseAfter(this.deathsInARow++);
    this.isEnding = false;
    this.lookIn(pauseMs);
  }

  private async startFailed(
    error: unknown,
    named: NamedVolume,
    nodes: BackEndNodes,
  ): Promise<void> {
    removeStartRecord(this.setting.runtimeDirectory, this.backEnd.key);
    if (this.hasServed || !isBeingMade(nodes)) {
      this.hasServed = true;
      this.warn(error);
      await this.write({ 'hotplug-error': clipped(error) });
      return this.lookIn(pauseAfter(++this.deathsInARow));
    }
    const timeoutMs = this.setting.firstStartTimeoutMs ?? FIRST_START_TIMEOUT_MS;
    const isInTime = performance.now() - (this.firstTryMs ?? 0) < timeoutMs;
    if (mayPass(error) && isInTime) return this.lookIn(FIRST_START_PAUSE_MS);
    await this.refuse(error, nodes, named.hasScript);
  }

  /**
   * Tells the toolstack. libxl runs a script only once the back end waits (state 2), and it is the
   * script that it learns the reason from: without one it waits until its own time is up.
   */
  private async refuse(error: unknown, nodes: BackEndNodes, hasScript: boolean): Promise<void> {
    this.isRefused = true;
    this.firstTryMs = null;
    this.warn(error);
    await this.write({ 'hotplug-error': clipped(error), 'hotplug-status': 'error' });
    if (!hasScript || nodes.state !== XENBUS_INITIALISING) return;
    const { store } = this.setting;
    await changeState(store, this.backEnd.path, XENBUS_INITIALISING, XENBUS_INIT_WAIT);
  }

  /** Taken away before anybody served it: the toolstack waits for this state. */
  private async giveUp(): Promise<void> {
    await this.write({ state: String(XENBUS_CLOSED) });
  }

  private endServing(why: string): void {
    const { serving, setting, backEnd, closed } = this;
    if (serving === null || this.isEnding) return;
    this.isEnding = true;
    const { pid } = serving;
    setting.log.info({ disk: backEnd.key, pid }, `its process shall end: ${why}`);
    const socketPath = socketPathOf(setting.runtimeDirectory, pid);
    endProcess(pid, socketPath, setting.log, closed.signal, setting.endLimits).catch(
      (error: unknown) => this.warn(error),
    );
  }

  /** The process sees its directory vanish and ends; look() sees to it. */
  private async bury(): Promise<void> {
    const { store, log, markersDirectory } = this.setting;
    const { path, key, domid } = this.backEnd;
    if (await store.domainExists(domid)) return;
    const nodes = await readBackEnd(store, path);
    const isOurs = nodes !== null && namedVolume(this.backEnd, nodes, markersDirectory) !== null;
    if (!isOurs) return;
    log.warn({ disk: key }, `domain ${domid} is dead; removes what its toolstack left`);
    await store.remove(path);
  }

  private lookIn(pauseMs: number): void {
    if (this.closed.signal.aborted) return;
    if (pauseMs === 0) return this.look();
    this.retry = setTimeout(() => {
      this.retry = null;
      this.look();
    }, pauseMs);
  }

  private async write(nodes: NodeChanges): Promise<void> {
    await writeBackEnd(this.setting.store, this.backEnd.path, nodes);
  }

  private warn(error: unknown): void {
    const code = error instanceof TapdiskError ? error.code : undefined;
    this.setting.log.warn({ disk: this.backEnd.key, code }, sentenceOf(error));
  }
}

const NO_ERROR = { 'hotplug-error': null } as const;

function pauseAfter(deathsInARow: number): number {
  if (deathsInARow === 0) return 0;
  return Math.min(RESTART_PAUSE_MS_MIN * 2 ** (deathsInARow - 1), RESTART_PAUSE_MS_MAX);
}

/** The toolstack still waits for it, so no guest has it. */
function isBeingMade(nodes: BackEndNodes): boolean {
  if (nodes.state === XENBUS_INITIALISING) return true;
  return nodes.state === XENBUS_INIT_WAIT && nodes['hotplug-status'] !== 'connected';
}

/** A volume is still attached while the process that had it last is ending. */
function mayPass(error: unknown): boolean {
  return error instanceof TapdiskError && (error.transient || error.code === 'VOLUME_ATTACHED');
}

function clipped(error: unknown): string {
  return sentenceOf(error).slice(0, SENTENCE_CHARACTERS_MAX);
}
