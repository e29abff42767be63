/** What every stand-in device's directory has: a device.json, and privacy. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import { SHM_JSON_BYTES_MAX } from '../limits';

export const DEVICE_JSON = 'device.json';
const OTHERS_MODE = 0o077;

/**
 * What a device.json says, unchecked but for its length and that it is JSON.
 *
 * @throws TapdiskError SHM_DEVICE_NOT_FOUND, SHM_DEVICE_INVALID, SHM_DEVICE_FORBIDDEN
 */
export function readDeviceJson(directory: string): unknown {
  try {
    return JSON.parse(readText(directory)) as unknown;
  } catch (error) {
    if (error instanceof TapdiskError) throw error;
    throw invalidDevice(directory, 'its device.json is not JSON', error);
  }
}

/**
 * Whoever else could write there could shrink the ring file under our feet.
 *
 * @throws TapdiskError SHM_DEVICE_FORBIDDEN
 */
export function checkPrivate(directory: string): void {
  const { mode, uid } = statSync(directory);
  const user = process.getuid?.() ?? 0;
  if ((mode & OTHERS_MODE) === 0 && (uid === user || user === 0)) return;
  throw new TapdiskError(
    'SHM_DEVICE_FORBIDDEN',
    `The stand-in device ${directory} is not private to this user; its mode must be 0700.`,
  );
}

/** SHM_DEVICE_INVALID, to be thrown. */
export function invalidDevice(directory: string, why: string, cause?: unknown): TapdiskError {
  return new TapdiskError(
    'SHM_DEVICE_INVALID',
    `${directory} is not a stand-in device that can be used: ${why}; remove it and make it afresh.`,
    { cause },
  );
}

/** SHM_DEVICE_EXISTS, to be thrown. */
export function alreadyThere(directory: string, cause?: unknown): TapdiskError {
  return new TapdiskError(
    'SHM_DEVICE_EXISTS',
    `${directory} already holds something; remove that stand-in device or choose another place.`,
    { cause },
  );
}

function readText(directory: string): string {
  const path = join(directory, DEVICE_JSON);
  try {
    if (statSync(path).size > SHM_JSON_BYTES_MAX) {
      throw invalidDevice(directory, `its device.json is longer than ${SHM_JSON_BYTES_MAX} bytes`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof TapdiskError) throw error;
    const missing = errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR';
    throw new TapdiskError(
      missing ? 'SHM_DEVICE_NOT_FOUND' : 'SHM_DEVICE_FORBIDDEN',
      missing
        ? `${directory} holds no stand-in device: it has no device.json.`
        : `The stand-in device ${directory} cannot be read: ${sentenceOf(error)}.`,
      { cause: error },
    );
  }
}
