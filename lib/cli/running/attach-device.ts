/** Which ring `attach` connects: its minor number, and how the tapdisk process finds it. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { allocateTap, CONTROL_NODES, freeTap } from '../../frontend/blktap/blktap2-control';
import { DEVICE_TEMPLATE_VARIABLE, parseRingLocation } from '../../frontend/blktap/find-device';
import { linuxSyscalls } from '../../frontend/blktap/linux-syscalls';
import { SHM_FILES } from '../../frontend/shm/shm-device';
import { BLKTAP_GEOMETRY } from '../../frontend/shm/shm-geometry';
import { createStandIn, removeStandIn, ringsOfStandIn } from '../../frontend/shm/shm-queues';
import { SHM_QUEUES_MAX } from '../../frontend/limits';
import { MINOR_MAX } from '../../control/limits';
import { TapdiskError } from '../../errors';

export interface AttachDevice {
  readonly minor: number;
  /** What TAPDISK_TS_DEVICE shall be in the process, or null: it looks in the usual places. */
  readonly template: string | null;
  /** Takes back what was made here, after a failed attach. */
  undo(): void;
}

/**
 * Chooses, and makes where that is ours to do, as the kernel would before NEWDEV:
 * - `shm:DIR`: the stand-in device DIR/blktap<minor>. Without a minor the first that is not there
 *   yet; with one, an existing device is taken again, for its front end may wait there. Where DIR
 *   itself is a stand-in device, it is that one.
 * - a character device's path, whose name ends with its minor;
 * - `auto`: as TAPDISK_TS_DEVICE says; else the given minor in the usual places; else a new ring of
 *   the blktap2 module.
 * `queues`: rings of a stand-in device that is made; one that is there must have as many. Undefined:
 * 1, or as many as it has.
 * @throws TapdiskError DEVICE_OPTION_INVALID, DEVICE_MINOR_MISSING, DEVICE_MINORS_EXHAUSTED, and
 * those of the device's kind
 */
export function chooseDevice(
  device: string,
  minor: number | undefined,
  env: Readonly<Record<string, string | undefined>>,
  queues?: number,
): AttachDevice {
  checkQueues(queues);
  if (minor !== undefined && !(Number.isInteger(minor) && minor >= 0 && minor <= MINOR_MAX)) {
    throw new TapdiskError(
      'DEVICE_OPTION_INVALID',
      `${minor} is no minor number that the tapdisk pipes can carry; use 0 to ${MINOR_MAX}.`,
    );
  }
  if (device !== 'auto') return named(device, minor, queues);
  const template = env[DEVICE_TEMPLATE_VARIABLE] ?? '';
  if (template !== '') return fromTemplate(template, minor, queues);
  if (queues !== undefined) throw queuesOfStandInOnly();
  if (minor !== undefined) return { minor, template: null, undo: nothingToUndo };
  return allocated();
}

function named(
  device: string,
  minor: number | undefined,
  queues: number | undefined,
): AttachDevice {
  const { kind, path: place } = parseRingLocation(device);
  if (place === '' || place.includes('%')) {
    throw new TapdiskError(
      'DEVICE_OPTION_INVALID',
      `${JSON.stringify(device)} is no device; use shm:DIRECTORY, a device's path, or auto.`,
    );
  }
  if (kind === 'shm') {
    const directory = path.resolve(place);
    if (!isStandIn(directory)) return standIn(path.join(directory, 'blktap%d'), minor, queues);
    mustHaveQueues(directory, queues);
    const { minor: number, template } = numbered(device, directory, minor);
    return { minor: number, template: `shm:${template}`, undo: nothingToUndo };
  }
  if (queues !== undefined) throw queuesOfStandInOnly();
  return { ...numbered(device, place, minor), undo: nothingToUndo };
}

/** The minor at the end of a device's path, and the path with %d in its place. */
function numbered(
  device: string,
  place: string,
  minor: number | undefined,
): { minor: number; template: string } {
  const match = /^(\/.*[^0-9])([0-9]{1,3})$/.exec(place);
  const number = Number(match?.[2]);
  if (match === null || number > MINOR_MAX || (minor !== undefined && minor !== number)) {
    throw new TapdiskError(
      'DEVICE_OPTION_INVALID',
      `${JSON.stringify(device)} must be an absolute path that ends with the device's minor ` +
        `number (0 to ${MINOR_MAX}), such as /dev/xen/blktap3.`,
    );
  }
  return { minor: number, template: `${match[1]}%d` };
}

function isStandIn(directory: string): boolean {
  return existsSync(path.join(directory, SHM_FILES.geometry));
}

function fromTemplate(
  template: string,
  minor: number | undefined,
  queues: number | undefined,
): AttachDevice {
  const { kind, path: place } = parseRingLocation(template);
  if (kind === 'shm' && place.startsWith('/') && place.split('%d').length === 2) {
    return standIn(place, minor, queues);
  }
  if (queues !== undefined) throw queuesOfStandInOnly();
  if (minor === undefined) throw minorMissing(`${DEVICE_TEMPLATE_VARIABLE} is ${template}`);
  return { minor, template, undo: nothingToUndo };
}

function standIn(
  placeTemplate: string,
  wanted: number | undefined,
  queues: number | undefined,
): AttachDevice {
  const template = `shm:${placeTemplate}`;
  for (let minor = wanted ?? 0; minor <= (wanted ?? MINOR_MAX); minor++) {
    const place = placeTemplate.replace('%d', String(minor));
    try {
      createStandIn(place, BLKTAP_GEOMETRY, queues ?? 1);
      return { minor, template, undo: () => removeStandIn(place) };
    } catch (error) {
      if (!(error instanceof TapdiskError) || error.code !== 'SHM_DEVICE_EXISTS') throw error;
    }
  }
  if (wanted !== undefined) {
    mustHaveQueues(placeTemplate.replace('%d', String(wanted)), queues);
    return { minor: wanted, template, undo: nothingToUndo };
  }
  throw new TapdiskError(
    'DEVICE_MINORS_EXHAUSTED',
    `All stand-in devices up to ${placeTemplate.replace('%d', String(MINOR_MAX))} exist; ` +
      `remove those that nobody uses.`,
  );
}

function checkQueues(queues: number | undefined): void {
  if (queues === undefined) return;
  if (Number.isInteger(queues) && queues >= 1 && queues <= SHM_QUEUES_MAX) return;
  throw new TapdiskError(
    'DEVICE_OPTION_INVALID',
    `A device cannot have ${queues} queues; use 1 to ${SHM_QUEUES_MAX}.`,
  );
}

function mustHaveQueues(directory: string, queues: number | undefined): void {
  if (queues === undefined) return;
  const found = ringsOfStandIn(directory).length;
  if (found === queues) return;
  throw new TapdiskError(
    'DEVICE_OPTION_INVALID',
    `The stand-in device ${directory} is there already and its queues are ${found}, not ${queues}; ` +
      'leave --queues away, or name another device.',
  );
}

function queuesOfStandInOnly(): TapdiskError {
  return new TapdiskError(
    'DEVICE_OPTION_INVALID',
    'Only a stand-in device has several queues; use --queues with --device shm:DIRECTORY.',
  );
}

function allocated(): AttachDevice {
  if (CONTROL_NODES.every((node) => linuxSyscalls.characterDevice(node) === undefined)) {
    throw minorMissing('This kernel has no blktap2 module that would allocate one');
  }
  const { minor } = allocateTap(linuxSyscalls);
  const undo = (): void => void freeTap(linuxSyscalls, minor);
  if (minor <= MINOR_MAX) return { minor, template: null, undo };
  undo();
  throw new TapdiskError(
    'DEVICE_MINORS_EXHAUSTED',
    `The kernel gave minor ${minor}, and the tapdisk pipes carry none above ${MINOR_MAX}; ` +
      `free rings that nobody uses.`,
  );
}

function minorMissing(why: string): TapdiskError {
  return new TapdiskError(
    'DEVICE_MINOR_MISSING',
    `${why}: name the device with --minor, or use --device shm:DIRECTORY for a stand-in.`,
  );
}

function nothingToUndo(): void {
  return;
}
