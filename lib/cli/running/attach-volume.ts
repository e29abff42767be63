/** Starts a tapdisk process for a volume as a toolstack does, and leaves nothing behind if it fails. */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DiskState, DiskStatus, WaitProgress } from '../../control/disk-host';
import { ensureRuntimeDirectory } from '../../control/runtime-dir';
import { callProcess } from '../../control/socket-client';
import { startTapdisk } from '../../control/start-tapdisk';
import { DEVICE_TEMPLATE_VARIABLE } from '../../frontend/blktap/find-device';
import { TapdiskError } from '../../errors';
import { type AttachMode, formatDiskPath } from '../../tapdisk/disk-path';
import { chooseDevice } from './attach-device';

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

/** A steal waits for a lease and for what may still be on its way; after this STEAL_FAILED. */
const STEAL_TIMEOUT_MS = 120_000;
const STEAL_CHECK_INTERVAL_MS = 100;

/**
 * Starts the process, opens the volume and connects the device.
 * @throws TapdiskError as startTapdisk; then a device made here is gone again, too
 */
export async function attachVolume(request: AttachRequest): Promise<AttachedVolume> {
  const { volume, readOnly, domid, mode, env } = request;
  const runtimeDirectory = ensureRuntimeDirectory(env);
  const log = request.log ?? path.join(runtimeDirectory, `${volume.replace('/', '.')}.log`);
  const device = chooseDevice(request.device, request.minor, env, request.queues);
  const { minor, template } = device;
  // One disk a process, so any cookie does.
  const cookie = minor;
  try {
    return await startTapdisk(
      {
        runtimeDirectory,
        env: template === null ? env : { ...env, [DEVICE_TEMPLATE_VARIABLE]: template },
        log,
        diskPath: formatDiskPath({ path: volume, mode }),
        ...{ readOnly, cookie, minor, domid },
      },
      async ({ pid, socketPath, sectors }) => {
        const found = await (mode === 'steal'
          ? stolen(socketPath, cookie, request)
          : lookAt(socketPath, cookie));
        const state = found?.state ?? 'running';
        const place = found?.device ?? template?.replace('%d', String(minor)) ?? `minor ${minor}`;
        return { pid, minor, device: place, state, domid, sectors, volume, readOnly, log };
      },
    );
  } catch (error) {
    device.undo();
    throw error;
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
