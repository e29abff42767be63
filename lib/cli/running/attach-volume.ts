/** Starts a tapdisk process for a volume as a toolstack does, and leaves nothing behind if it fails. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LOG_VARIABLE } from '../../control/daemonise';
import type { DiskState, DiskStatus, WaitProgress } from '../../control/disk-host';
import { DRIVER_TYPE_CHUNK } from '../../control/driver-types';
import { FifoClient } from '../../control/fifo-client';
import { processIsAlive } from '../../control/process-alive';
import { ensureRuntimeDirectory } from '../../control/runtime-dir';
import { callProcess } from '../../control/socket-client';
import { socketPathOf } from '../../control/socket-files';
import { DEVICE_TEMPLATE_VARIABLE } from '../../frontend/blktap/find-device';
import { TapdiskError } from '../../errors';
import { type AttachMode, formatDiskPath } from '../../tapdisk/disk-path';
import { type AttachDevice, chooseDevice } from './attach-device';
import { tapdiskProgram } from './tapdisk-program';

export interface AttachRequest {
  /** "pool/volume" */
  readonly volume: string;
  readonly readOnly: boolean;
  readonly mode: AttachMode;
  /** Told while a steal waits. */
  readonly onProgress?: (progress: WaitProgress) => void;
  /** See chooseDevice. */
  readonly device: string;
  readonly minor: number | undefined;
  readonly queues?: number;
  readonly domid: number;
  /** Absolute path of the process's log, or undefined: one in the runtime directory. */
  readonly log: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface AttachedVolume {
  readonly volume: string;
  readonly pid: number;
  readonly minor: number;
  /** As the process names it: `shm:/dir` or a character device's path. */
  readonly device: string;
  /** `standby` or `running`, as a rule. */
  readonly state: DiskState;
  readonly domid: number;
  readonly readOnly: boolean;
  /** 512-byte sectors. */
  readonly sectors: number;
  readonly log: string;
}

/** A process whose attach failed gets so long to end by itself, then SIGTERM, then SIGKILL. */
const END_TIMEOUT_MS = 2_000;
const END_CHECK_INTERVAL_MS = 20;

/** A steal waits for a lease and for what may still be on its way; after this STEAL_FAILED. */
const STEAL_TIMEOUT_MS = 120_000;
const STEAL_CHECK_INTERVAL_MS = 100;

/**
 * Makes the FIFOs, starts the process, opens the volume and connects the device.
 * @throws TapdiskError the process's own refusal where it can be learnt (VOLUME_NOT_FOUND, …),
 * else TAPDISK_* of the pipes; then the process, the FIFOs and a device made here are gone again
 */
export async function attachVolume(request: AttachRequest): Promise<AttachedVolume> {
  const runtime = ensureRuntimeDirectory(request.env);
  const directory = makeFifoDirectory(runtime);
  try {
    const log = request.log ?? path.join(runtime, `${request.volume.replace('/', '.')}.log`);
    const device = chooseDevice(request.device, request.minor, request.env, request.queues);
    try {
      const env: Record<string, string> = { ...definedOnly(request.env), [LOG_VARIABLE]: log };
      if (device.template !== null) env[DEVICE_TEMPLATE_VARIABLE] = device.template;
      const ctl = new FifoClient({ directory, minor: device.minor });
      try {
        const started = await drive(ctl, request, device, env, runtime);
        return { ...started, volume: request.volume, readOnly: request.readOnly, log };
      } finally {
        await ctl.dispose();
      }
    } catch (error) {
      device.undo();
      throw error;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function drive(
  ctl: FifoClient,
  request: AttachRequest,
  device: AttachDevice,
  env: Record<string, string>,
  runtime: string,
): Promise<Pick<AttachedVolume, 'pid' | 'minor' | 'device' | 'state' | 'domid' | 'sectors'>> {
  const { volume, readOnly, domid, mode } = request;
  const { minor } = device;
  const driverType = DRIVER_TYPE_CHUNK;
  // One disk a process, so any cookie does.
  const cookie = minor;
  await ctl.spawn({ program: tapdiskProgram(request.env), env });
  const pid = await ctl.pid();
  const socketPath = socketPathOf(runtime, pid);
  try {
    const { sectors } = await ctl.open(cookie, {
      path: formatDiskPath({ path: volume, mode }),
      readOnly,
      driverType,
    });
    await ctl.connect(cookie, { minor, domid, driverType });
    const found = await (mode === 'steal'
      ? stolen(socketPath, cookie, request)
      : lookAt(socketPath, cookie));
    const state = found?.state ?? 'running';
    const place = device.template?.replace('%d', String(minor)) ?? `minor ${minor}`;
    return { pid, minor, device: found?.device ?? place, state, domid, sectors };
  } catch (error) {
    const reason = await reasonOf(error, cookie, socketPath);
    ctl.closeDisk(cookie, driverType);
    await processEnded(pid);
    throw reason;
  }
}

async function lookAt(socketPath: string, cookie: number): Promise<DiskStatus | undefined> {
  const { disks } = await callProcess(socketPath, 'list', {});
  return disks.find((disk) => disk.cookie === cookie);
}

/** Resolves when the process has the volume. @throws TapdiskError STEAL_FAILED */
async function stolen(
  socketPath: string,
  cookie: number,
  { volume, onProgress }: AttachRequest,
): Promise<DiskStatus> {
  const deadline = Date.now() + STEAL_TIMEOUT_MS;
  for (;;) {
    const disk = await lookAt(socketPath, cookie);
    if (disk === undefined || disk.state === 'stopped') {
      throw new TapdiskError(
        'STEAL_FAILED',
        disk?.reason ?? `the process that was to take ${volume} serves it no more; see its log`,
      );
    }
    if (disk.state !== 'standby') return disk;
    if (disk.progress) onProgress?.(disk.progress);
    if (Date.now() >= deadline) {
      throw new TapdiskError(
        'STEAL_FAILED',
        `${volume} could not be taken within ${STEAL_TIMEOUT_MS / 1000} s; see pool status`,
      );
    }
    await delay(STEAL_CHECK_INTERVAL_MS);
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
    const deadline = Date.now() + END_TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (!processIsAlive(pid)) return;
      await delay(END_CHECK_INTERVAL_MS);
    }
    try {
      if (signal !== null) process.kill(pid, signal);
    } catch {
      return;
    }
  }
}

/** A directory for this attach's FIFOs alone; those of dead ones are removed. */
function makeFifoDirectory(runtime: string): string {
  for (const name of readdirSync(runtime)) {
    const pid = /^attach-([1-9][0-9]*)$/.exec(name)?.[1];
    if (pid === undefined || (Number(pid) !== process.pid && processIsAlive(Number(pid)))) continue;
    rmSync(path.join(runtime, name), { recursive: true, force: true });
  }
  const directory = path.join(runtime, `attach-${process.pid}`);
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) defined[name] = value;
  return defined;
}
