/** Starts a tapdisk process and connects its one disk, as a toolstack does; or leaves nothing behind. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TapdiskError } from '../errors';
import { LOG_VARIABLE } from './daemonise';
import { DRIVER_TYPE_CHUNK } from './driver-types';
import { FifoClient } from './fifo-client';
import { ANSWER_TIMEOUT_VARIABLE } from './fifo-server';
import { FAILED_START_CHECK_INTERVAL_MS, FAILED_START_END_TIMEOUT_MS } from './limits';
import { processIsAlive } from './process-alive';
import { callProcess } from './socket-client';
import { socketPathOf } from './socket-files';
import { tapdiskProgram } from './tapdisk-program';

export interface LaunchRequest {
  /** Checked: see ensureRuntimeDirectory. */
  readonly runtimeDirectory: string;
  /** Of the process; TAPDISK_TS_LOG in it is replaced. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the process's log. */
  readonly log: string;
  readonly minor: number;
  /** For the start, and for each answer; blktapctrl's unless told. */
  readonly timeoutMs?: number;
}

export interface DiskRequest {
  /** As PARAMS carries it: see parseDiskPath. */
  readonly diskPath: string;
  readonly readOnly: boolean;
  readonly cookie: number;
  readonly domid: number;
}

export interface StartedTapdisk {
  readonly pid: number;
  readonly socketPath: string;
  /** 512-byte sectors. */
  readonly sectors: number;
}

/**
 * Launches a process and connects its disk; then asks `settle`, whose refusal is one of the start
 * as well.
 *
 * @throws TapdiskError of LaunchedTapdisk.launch and connect; nothing is left then
 */
export async function startTapdisk<Settled>(
  request: LaunchRequest & DiskRequest,
  settle: (started: StartedTapdisk) => Promise<Settled>,
): Promise<Settled> {
  const launched = await LaunchedTapdisk.launch(request);
  try {
    return await launched.connect(request, settle);
  } finally {
    await launched.dispose();
  }
}

/** A process that runs, and waits for its disk. */
export class LaunchedTapdisk {
  private constructor(
    private readonly ctl: FifoClient,
    private readonly directory: string,
    private readonly minor: number,
    readonly pid: number,
    private readonly socketPath: string,
  ) {}

  /** Makes the FIFOs and starts the process. @throws TapdiskError TAPDISK_*, CONTROL_FIFO_* */
  static async launch(request: LaunchRequest): Promise<LaunchedTapdisk> {
    const { runtimeDirectory, minor, timeoutMs } = request;
    const directory = makeFifoDirectory(runtimeDirectory);
    let ctl: FifoClient | null = null;
    try {
      const limit = timeoutMs === undefined ? {} : { answerTimeoutMs: timeoutMs };
      ctl = new FifoClient({ directory, minor, ...limit });
      const env = {
        ...definedOnly(request.env),
        [LOG_VARIABLE]: request.log,
        ...(timeoutMs !== undefined && { [ANSWER_TIMEOUT_VARIABLE]: String(timeoutMs) }),
      };
      const program = tapdiskProgram(request.env);
      await ctl.spawn({ program, env, ...(timeoutMs !== undefined && { timeoutMs }) });
      const pid = await ctl.pid();
      return new LaunchedTapdisk(ctl, directory, minor, pid, socketPathOf(runtimeDirectory, pid));
    } catch (error) {
      await ctl?.dispose();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get isAlive(): boolean {
    return processIsAlive(this.pid);
  }

  /** Without a disk it ends after ORPHAN_TIMEOUT_MS, counted from here. @throws TAPDISK_* */
  async keep(): Promise<void> {
    await this.ctl.pid();
  }

  /**
   * Opens the volume and connects the device, once.
   *
   * @throws TapdiskError the process's own refusal where it can be learnt (VOLUME_NOT_FOUND, …),
   * else TAPDISK_* of the pipes; then the process is gone
   */
  async connect<Settled>(
    { cookie, domid, readOnly, diskPath }: DiskRequest,
    settle: (started: StartedTapdisk) => Promise<Settled>,
  ): Promise<Settled> {
    const { ctl, minor, pid, socketPath } = this;
    const driverType = DRIVER_TYPE_CHUNK;
    try {
      const { sectors } = await ctl.open(cookie, { path: diskPath, readOnly, driverType });
      await ctl.connect(cookie, { minor, domid, driverType });
      return await settle({ pid, socketPath, sectors });
    } catch (error) {
      const reason = await reasonOf(error, cookie, socketPath);
      ctl.closeDisk(cookie, driverType);
      await processEnded(pid);
      throw reason;
    }
  }

  /** Removes the FIFOs; the process goes on with the disk that it has, or ends without one. */
  async dispose(): Promise<void> {
    await this.ctl.dispose();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** IMG_FAIL says no more than that; the process remembers why, and is still there to be asked. */
async function reasonOf(error: unknown, cookie: number, socketPath: string): Promise<unknown> {
  try {
    const { failures } = await callProcess(socketPath, 'failures', {});
    const own = failures.filter((failure) => failure.cookie === cookie).at(-1);
    return own === undefined ? error : new TapdiskError(own.code, own.message, { cause: error });
  } catch {
    return error;
  }
}

async function processEnded(pid: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL', null] as const) {
    const deadline = Date.now() + FAILED_START_END_TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (!processIsAlive(pid)) return;
      await delay(FAILED_START_CHECK_INTERVAL_MS);
    }
    try {
      if (signal !== null) process.kill(pid, signal);
    } catch {
      return;
    }
  }
}

let starts = 0;

/** A directory for this start's FIFOs alone; those of dead processes are removed. */
function makeFifoDirectory(runtime: string): string {
  for (const name of readdirSync(runtime)) {
    const pid = /^attach-([1-9][0-9]*)-[0-9]+$/.exec(name)?.[1];
    if (pid === undefined || processIsAlive(Number(pid))) continue;
    rmSync(path.join(runtime, name), { recursive: true, force: true });
  }
  const directory = path.join(runtime, `attach-${process.pid}-${starts++}`);
  // Of a dead process that had our pid.
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) defined[name] = value;
  return defined;
}
