/** A stand-in device: the directory that holds a ring's shared memory and doorbells. */
import {
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Mapping, mapShared } from '../../../native-bindings/mapping';
import * as posix from '../../../native-bindings/posix';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import {
  alreadyThere,
  checkPrivate,
  DEVICE_JSON,
  invalidDevice,
  readDeviceJson,
} from './shm-directory';
import { type ShmGeometry, shmFileBytes, shmGeometrySchema } from './shm-geometry';

/** Files of the directory; docs/formats-shm.md describes them. */
export const SHM_FILES = {
  geometry: DEVICE_JSON,
  ring: 'ring',
  toBackEnd: 'to-back',
  toFrontEnd: 'to-front',
  frontEndState: 'frontend.json',
  backEndState: 'backend.json',
  frontEndLock: 'frontend.lock',
  backEndLock: 'backend.lock',
} as const;

export type ShmFile = keyof typeof SHM_FILES;

/** Suffix of a JSON file being written. */
const UNFINISHED = '.new';

/** One stand-in device, whose shape has been read and checked. */
export class ShmDevice {
  private constructor(
    readonly directory: string,
    readonly geometry: ShmGeometry,
  ) {}

  /**
   * Makes a device. Its directory, private to this user, may exist if it is empty; its parent must.
   * Place it on a tmpfs (/run, /dev/shm): its memory is the page cache of its ring file.
   *
   * @throws TapdiskError SHM_DEVICE_EXISTS, SHM_DEVICE_INVALID, SHM_CREATE_FAILED
   */
  static create(directory: string, geometry: ShmGeometry): ShmDevice {
    const device = new ShmDevice(directory, parseGeometry(directory, geometry));
    try {
      makePrivateDirectory(directory);
      // A device of several rings has no ring file here that would be in the way.
      if (existsSync(device.pathOf('geometry'))) throw alreadyThere(directory);
      const ring = openSync(device.pathOf('ring'), 'wx', 0o600);
      try {
        ftruncateSync(ring, shmFileBytes(geometry));
      } finally {
        closeSync(ring);
      }
      posix.mkfifo(device.pathOf('toBackEnd'));
      posix.mkfifo(device.pathOf('toFrontEnd'));
      for (const lock of ['frontEndLock', 'backEndLock'] as const) {
        closeSync(openSync(device.pathOf(lock), 'wx', 0o600));
      }
      // Last, and in one step: a directory with a device.json is whole.
      device.replace('geometry', geometry);
      return device;
    } catch (error) {
      if (error instanceof TapdiskError) throw error;
      if (errnoOf(error) === 'EEXIST') throw alreadyThere(directory, error);
      throw new TapdiskError(
        'SHM_CREATE_FAILED',
        `The stand-in device ${directory} cannot be made: ${sentenceOf(error)}.`,
        { cause: error },
      );
    }
  }

  /**
   * Opens a device that `create` made.
   *
   * @throws TapdiskError SHM_DEVICE_NOT_FOUND, SHM_DEVICE_INVALID, SHM_DEVICE_FORBIDDEN
   */
  static open(directory: string): ShmDevice {
    const device = new ShmDevice(directory, parseGeometry(directory, readDeviceJson(directory)));
    checkPrivate(directory);
    device.checkRingFile();
    return device;
  }

  /** Removes the device's files and its directory; processes that have it mapped keep their memory. */
  static remove(directory: string): void {
    for (const name of Object.values(SHM_FILES)) {
      rmSync(join(directory, name), { force: true });
      rmSync(join(directory, name + UNFINISHED), { force: true });
    }
    try {
      rmdirSync(directory);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw new TapdiskError(
        'SHM_REMOVE_FAILED',
        `${directory} cannot be removed: ${sentenceOf(error)}; look what else is in it.`,
        { cause: error },
      );
    }
  }

  pathOf(file: ShmFile): string {
    return join(this.directory, SHM_FILES[file]);
  }

  /** Maps the ring pages and the data pages behind them. */
  map(): Mapping {
    const fd = posix.open(this.pathOf('ring'), posix.O_RDWR);
    try {
      return mapShared(fd, shmFileBytes(this.geometry));
    } finally {
      posix.close(fd);
    }
  }

  /** Replaces a JSON file in one step: a reader sees the old one or the new one, whole. */
  replace(file: ShmFile, contents: object): void {
    const path = this.pathOf(file);
    const temporary = `${path}${UNFINISHED}`;
    writeFileSync(temporary, `${JSON.stringify(contents)}\n`, { mode: 0o600 });
    renameSync(temporary, path);
  }

  /** A shorter file would be a SIGBUS at the first touch beyond its end. */
  private checkRingFile(): void {
    const path = this.pathOf('ring');
    const wanted = shmFileBytes(this.geometry);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isFile() !== true || found.size !== wanted) {
      const what = found?.isFile() === true ? `has ${found.size} bytes` : 'is not a file';
      throw invalidDevice(this.directory, `its ring file ${what}, and should have ${wanted} bytes`);
    }
    for (const fifo of ['toBackEnd', 'toFrontEnd'] as const) {
      if (statSync(this.pathOf(fifo), { throwIfNoEntry: false })?.isFIFO() !== true) {
        throw invalidDevice(this.directory, `its ${SHM_FILES[fifo]} is not a FIFO`);
      }
    }
  }
}

function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    chmodSync(directory, 0o700);
  }
}

function parseGeometry(directory: string, value: unknown): ShmGeometry {
  const parsed = shmGeometrySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw invalidDevice(directory, `its device.json is wrong (${where}${issue.message})`);
}
