/**
 * Which process was started for a disk, written down before it opens the volume: a daemon that was
 * killed between the two leaves a process that has the volume and no ring, which its successor ends.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod/v3';
import { callProcess } from '../control/socket-client';
import { socketPathOf } from '../control/socket-files';
import { TapdiskError } from '../errors';
import { integer } from '../integer';
import type { BackEndPath } from '../xenstore/back-end-path';
import { xenDeviceOf } from './xen-device';

const VERSION = 1;
const schema = z.object({ version: z.literal(VERSION), pid: integer.positive() });

function recordFile(runtimeDirectory: string, key: string): string {
  return path.join(runtimeDirectory, `start-${key}.json`);
}

export function writeStartRecord(runtimeDirectory: string, key: string, pid: number): void {
  const file = recordFile(runtimeDirectory, key);
  writeFileSync(`${file}.new`, `${JSON.stringify({ version: VERSION, pid })}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * The process of an earlier start that serves the back end already, or null. One that was cut short
 * before it had the ring is asked to give its volume back.
 */
export async function findStarted(
  runtimeDirectory: string,
  backEnd: BackEndPath,
): Promise<number | null> {
  const pid = readStartRecord(runtimeDirectory, backEnd.key);
  if (pid === null) return null;
  const socketPath = socketPathOf(runtimeDirectory, pid);
  try {
    const { disks } = await callProcess(socketPath, 'list', {});
    if (disks.some(({ device }) => device === xenDeviceOf(backEnd))) return pid;
    const unconnected = disks.filter(({ device, domid }) => device === null && domid === null);
    for (const { cookie } of unconnected) await callProcess(socketPath, 'detach', { cookie });
  } catch (error) {
    // Its pid may be another program's by now.
    if (!(error instanceof TapdiskError)) throw error;
  }
  return null;
}

/** Null where there is none, or none that this program understands. */
function readStartRecord(runtimeDirectory: string, key: string): number | null {
  try {
    const text = readFileSync(recordFile(runtimeDirectory, key), 'utf8');
    return schema.parse(JSON.parse(text)).pid;
  } catch {
    return null;
  }
}

export function removeStartRecord(runtimeDirectory: string, key: string): void {
  rmSync(recordFile(runtimeDirectory, key), { force: true });
}
