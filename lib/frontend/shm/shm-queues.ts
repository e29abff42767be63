/** A stand-in device of several rings: a directory that holds one stand-in device for each queue. */
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import { integer } from '../../integer';
import { SHM_QUEUES_MAX } from '../limits';
import { SHM_FILES, ShmDevice } from './shm-device';
import { alreadyThere, checkPrivate, invalidDevice, readDeviceJson } from './shm-directory';
import type { ShmGeometry } from './shm-geometry';

/** Of a `device.json` that names queues; one that describes a ring has version 1. */
export const SHM_QUEUES_VERSION = 2;

const schema = z.strictObject({
  version: z.literal(SHM_QUEUES_VERSION),
  queues: integer.min(2).max(SHM_QUEUES_MAX),
});

/**
 * Makes a device of `queues` rings of the same shape; of 1, an ordinary device.
 *
 * @throws TapdiskError SHM_DEVICE_INVALID (a number of queues that cannot be), and those of
 * ShmDevice.create
 */
export function createStandIn(directory: string, geometry: ShmGeometry, queues: number): void {
  if (queues === 1) return void ShmDevice.create(directory, geometry);
  const contents = { version: SHM_QUEUES_VERSION, queues };
  const parsed = schema.safeParse(contents);
  if (!parsed.success) {
    throw invalidDevice(directory, `it cannot have ${queues} queues, but 1 to ${SHM_QUEUES_MAX}`);
  }
  makeDirectory(directory);
  try {
    for (let queue = 0; queue < queues; queue++) {
      ShmDevice.create(queueDirectory(directory, queue), geometry);
    }
    // Last, and in one step, as in a device of one ring.
    const path = join(directory, SHM_FILES.geometry);
    writeFileSync(`${path}.new`, `${JSON.stringify(contents)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    removeStandIn(directory);
    throw error;
  }
}

/**
 * The devices of one ring each that make up a stand-in device, in the order of their queues.
 *
 * @throws TapdiskError SHM_DEVICE_NOT_FOUND, SHM_DEVICE_INVALID, SHM_DEVICE_FORBIDDEN
 */
export function ringsOfStandIn(directory: string): string[] {
  const contents = readDeviceJson(directory);
  if (!namesQueues(contents)) return [directory];
  const parsed = schema.safeParse(contents);
  if (!parsed.success) throw invalidDevice(directory, 'its device.json is wrong');
  checkPrivate(directory);
  return Array.from({ length: parsed.data.queues }, (_, queue) => queueDirectory(directory, queue));
}

/**
 * Removes a device of one ring or several; processes that have it mapped keep their memory.
 *
 * @throws TapdiskError SHM_REMOVE_FAILED
 */
export function removeStandIn(directory: string): void {
  // First: without it nobody takes what is left for a device.
  rmSync(join(directory, SHM_FILES.geometry), { force: true });
  for (let queue = 0; queue < SHM_QUEUES_MAX; queue++) {
    ShmDevice.remove(queueDirectory(directory, queue));
  }
  ShmDevice.remove(directory);
}

function queueDirectory(directory: string, queue: number): string {
  return join(directory, `queue-${queue}`);
}

function namesQueues(contents: unknown): boolean {
  return (contents as { version?: unknown } | null)?.version === SHM_QUEUES_VERSION;
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
    // Whatever the umask made of it.
    chmodSync(directory, 0o700);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw alreadyThere(directory, error);
    throw new TapdiskError(
      'SHM_CREATE_FAILED',
      `The stand-in device ${directory} cannot be made: ${sentenceOf(error)}.`,
      { cause: error },
    );
  }
}
