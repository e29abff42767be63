/** A stand-in device: the directory that holds a ring's shared memory and doorbells. */
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
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
import { SHM_JSON_BYTES_MAX } from '../limits';
import { type ShmGeometry, shmFileBytes, shmGeometrySchema } from './shm-geometry';

/** Files of the directory; docs/formats-shm.md describes them. */
export const SHM_FILES = {
  geometry: 'device.json',
  ring: 'ring',
  toBackEnd: 'to-back',
  toFrontEnd: 'to-front',
  frontEndState: 'frontend.json',
  backEndState: 'backend.json',
  frontEndLock: 'frontend.lock',
  backEndLock: 'backend.lock',
} as const;

export type ShmFile = keyof typeof SHM_FILES;

const OTHERS_MODE = 0o077;
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
      if (errnoOf(error) === 'EEXIST') {
        throw new TapdiskError(
          'SHM_DEVICE_EXISTS',
          `${directory} already holds something; remove that stand-in device or choose another place.`,
          { cause: error },
        );
      }
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
    const text = readGeometry(directory);
    const device = new ShmDevice(directory, parseGeometry(directory, parseJson(directory, text)));
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
      throw invalid(this.directory, `its ring file ${what}, and should have ${wanted} bytes`);
    }
    for (const fifo of ['toBackEnd', 'toFrontEnd'] as const) {
      if (statSync(this.pathOf(fifo), { throwIfNoEntry: false })?.isFIFO() !== true) {
        throw invalid(this.directory, `its ${SHM_FILES[fifo]} is not a FIFO`);
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

function readGeometry(directory: string): string {
  const path = join(directory, SHM_FILES.geometry);
  try {
    if (statSync(path).size > SHM_JSON_BYTES_MAX) {
      throw invalid(directory, `its device.json is longer than ${SHM_JSON_BYTES_MAX} bytes`);
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

function parseJson(directory: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw invalid(directory, 'its device.json is not JSON', error);
  }
}

function parseGeometry(directory: string, value: unknown): ShmGeometry {
  const parsed = shmGeometrySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw invalid(directory, `its device.json is wrong (${where}${issue.message})`);
}

/** Whoever else could write there could shrink the ring file under our feet. */
function checkPrivate(directory: string): void {
  const { mode, uid } = statSync(directory);
  const user = process.getuid?.() ?? 0;
  if ((mode & OTHERS_MODE) === 0 && (uid === user || user === 0)) return;
  throw new TapdiskError(
    'SHM_DEVICE_FORBIDDEN',
    `The stand-in device ${directory} is not private to this user; its mode must be 0700.`,
  );
}

function invalid(directory: string, why: string, cause?: unknown): TapdiskError {
  return new TapdiskError(
    'SHM_DEVICE_INVALID',
    `${directory} is not a stand-in device that can be used: ${why}; remove it and make it afresh.`,
    { cause },
  );
}
