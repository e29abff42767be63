/** What a daemon needs around it: a xenstored, a runtime directory, a program to start; all doubles. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Log } from '../../lib/control/log';
import { processIsAlive } from '../../lib/control/process-alive';
import { ensureRuntimeDirectory } from '../../lib/control/runtime-dir';
import { Daemon } from '../../lib/host/daemon';
import { KernelBackEnd } from '../../lib/host/kernel-back-end';
import { openXenStore } from '../../lib/xenstore/open-xenstore';
import type { XenStore } from '../../lib/xenstore/xenstore';
import { makeFakeTapdisk } from '../control/fake-tapdisk';
import { FakeXenstored } from '../xenstore/fake-xenstored';

const DEADLINE_MS = 20_000;

export class HostRoom {
  readonly said: string[] = [];
  private readonly daemons: Daemon[] = [];
  private readonly stores: XenStore[] = [];
  readonly pids = new Set<number>();

  private constructor(
    readonly directory: string,
    readonly xenstored: FakeXenstored,
    readonly env: Readonly<Record<string, string>>,
  ) {}

  /** `program`: where makeFakeTapdisk has put it, for several rooms. */
  static async make(program: string): Promise<HostRoom> {
    const directory = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-host-'));
    const xenstored = await FakeXenstored.listen(directory);
    return new HostRoom(directory, xenstored, {
      PATH: process.env.PATH ?? '',
      TAPDISK_TS_RUNTIME_DIR: path.join(directory, 'run'),
      TAPDISK_TS_CONFIG_DIR: path.join(directory, 'config'),
      TAPDISK_TS_PROGRAM: program,
      XENSTORED_PATH: xenstored.path,
    });
  }

  static makeProgram(): { program: string; remove(): void } {
    const directory = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-program-'));
    const remove = (): void => rmSync(directory, { recursive: true, force: true });
    return { program: makeFakeTapdisk(path.join(directory, 'program')), remove };
  }

  get runtime(): string {
    return this.env.TAPDISK_TS_RUNTIME_DIR;
  }

  /** Of the kernel's xen-backend bus, for a double of it. */
  get bus(): string {
    return path.join(this.directory, 'bus');
  }

  async daemon(
    limits: {
      firstStartTimeoutMs?: number;
      initWaitAfterMs?: number;
      deadDomainGraceMs?: number;
    } = {},
  ): Promise<Daemon> {
    const store = await openXenStore({ env: this.env });
    this.stores.push(store);
    const daemon = await Daemon.start({
      store,
      env: this.env,
      runtimeDirectory: ensureRuntimeDirectory(this.env),
      log: this.log,
      kernel: new KernelBackEnd(this.bus),
      firstStartTimeoutMs: 0,
      endLimits: { byItselfMs: 0, bySocketMs: 10_000, bySigtermMs: 10_000 },
      ...limits,
    });
    this.daemons.push(daemon);
    return daemon;
  }

  /** As libxl makes them, all that the daemon reads. */
  makeBackEnd(at: string, nodes: Readonly<Record<string, string>>): void {
    this.xenstored.mkdir(at);
    this.xenstored.writeAll(at, { online: '1', state: '1', mode: 'w', ...nodes });
  }

  /** A kernel whose blkback holds this device. */
  bindKernel(key: string): void {
    const driver = path.join(this.bus, 'drivers/vbd');
    mkdirSync(driver, { recursive: true });
    writeFileSync(path.join(driver, key), '');
  }

  /** The process that serves a back end; resolves once there is one, other than `not`. */
  async served(daemon: Daemon, key: string, not = 0): Promise<number> {
    await until(
      () => {
        const pid = daemon.serving.get(key);
        return pid !== undefined && pid !== not;
      },
      () => `nobody serves ${key}: ${this.said.join('\n')}`,
    );
    const pid = daemon.serving.get(key)!;
    this.pids.add(pid);
    return pid;
  }

  async ended(pid: number): Promise<void> {
    await until(
      () => !processIsAlive(pid),
      () => `process ${pid} runs on: ${this.said.join('\n')}`,
    );
  }

  /** Resolves when a node has a value that the expression matches. */
  async told(at: string, value: RegExp): Promise<string> {
    const read = (): string => this.xenstored.read(at) ?? '';
    await until(
      () => value.test(read()),
      () => `${at} is ${read()}: ${this.said.join('\n')}`,
    );
    return read();
  }

  async remove(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.close()));
    for (const store of this.stores) store.close();
    for (const pid of this.pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended, as it should.
      }
    }
    await this.xenstored.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private readonly log: Log = {
    info: (fields, sentence) => void this.said.push(`${JSON.stringify(fields)} ${sentence}`),
    warn: (fields, sentence) => void this.said.push(`${JSON.stringify(fields)} ${sentence}`),
    error: (fields, sentence) => void this.said.push(`${JSON.stringify(fields)} ${sentence}`),
  };
}

/** Before each test of the file a new room with domain 5, which `enter` is given; gone after it. */
export function roomForEachTest(enter: (room: HostRoom) => void): void {
  const made = HostRoom.makeProgram();
  afterAll(made.remove);
  let room: HostRoom;
  beforeEach(async () => {
    room = await HostRoom.make(made.program);
    room.xenstored.introduceDomain(5);
    enter(room);
  });
  afterEach(() => room.remove());
}

export async function until(isSo: () => boolean, what: () => string): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(what());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
