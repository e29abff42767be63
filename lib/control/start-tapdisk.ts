/** Starts a tapdisk process and connects its one disk, as a toolstack does; or leaves nothing behind. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TapdiskError } from '../errors';
import { LOG_VARIABLE } from './daemonise';
import { DRIVER_TYPE_CHUNK } from './driver-types';
import { FifoClient } from './fifo-client';
import { FAILED_START_CHECK_INTERVAL_MS, FAILED_START_END_TIMEOUT_MS } from './limits';
import { processIsAlive } from './process-alive';
import { callProcess } from './socket-client';
import { socketPathOf } from './socket-files';
import { tapdiskProgram } from './tapdisk-program';

export interface StartRequest {
  /** Checked: see ensureRuntimeDirectory. */
  readonly runtimeDirectory: string;
  /** Of the process; TAPDISK_TS_LOG in it is replaced. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the process's log. */
  readonly log: string;
  /** As PARAMS carries it: see parseDiskPath. */
  readonly diskPath: string;
  readonly readOnly: boolean;
  readonly cookie: number;
  readonly minor: number;
  readonly domid: number;
  /** Told before the volume is opened. */
  readonly onPid?: (pid: number) => void;
}

export interface StartedTapdisk {
  readonly pid: number;
  readonly socketPath: string;
  /** 512-byte sectors. */
  readonly sectors: number;
}

/**
 * Makes the FIFOs, starts the process, opens the volume and connects the device; then asks `settle`,
 * whose refusal is one of the start as well.
 *
 * @throws TapdiskError the process's own refusal where it can be learnt (VOLUME_NOT_FOUND, …),
 * else TAPDISK_* of the pipes; then the process and the FIFOs are gone again
 */
export async function startTapdisk<Settled>(
  request: StartRequest,
  settle: (started: StartedTapdisk) => Promise<Settled>,
): Promise<Settled> {
  const directory = makeFifoDirectory(request.runtimeDirectory);
  try {
    const ctl = new FifoClient({ directory, minor: request.minor });
    try {
      return await drive(ctl, request, settle);
    } finally {
      await ctl.dispose();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function drive<Settled>(
  ctl: FifoClient,
  request: StartRequest,
  settle: (started: StartedTapdisk) => Promise<Settled>,
): Promise<Settled> {
  const { cookie, minor, domid, readOnly, diskPath, runtimeDirectory } = request;
  const driverType = DRIVER_TYPE_CHUNK;
  const env = { ...definedOnly(request.env), [LOG_VARIABLE]: request.log };
  await ctl.spawn({ program: tapdiskProgram(request.env), env });
  const pid = await ctl.pid();
  const socketPath = socketPathOf(runtimeDirectory, pid);
  try {
    request.onPid?.(pid);
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
