/** Where the local coordination keeps what, below the pool's directory. In docs/formats.md. */
import { join } from 'node:path';

export interface LocalLayout {
  readonly directory: string;
  /** flocked for every change of more than one volume's files. */
  readonly lock: string;
  /** The next layer id. */
  readonly layerCounter: string;
  /** A directory a volume, by its name. */
  readonly volumes: string;
  /** Volumes being made: never listed, swept when their maker died. */
  readonly creating: string;
  /** Volumes deleted whose layers may still be there, by their uuid. */
  readonly deleted: string;
}

export function localLayout(directory: string): LocalLayout {
  return {
    directory,
    lock: join(directory, 'lock'),
    layerCounter: join(directory, 'layer-counter.json'),
    volumes: join(directory, 'volumes'),
    creating: join(directory, 'creating'),
    deleted: join(directory, 'deleted'),
  };
}

export interface VolumeLayout {
  readonly directory: string;
  /** Size, chunks, layers: rewritten as a whole, rarely. */
  readonly record: string;
  /** Epoch and whether it is in use: overwritten in place, so that a full disk is not in the way. */
  readonly state: string;
  readonly map: string;
  /** flocked by whoever has the volume; holds the writer's name. */
  readonly lock: string;
  /** A file a reader, flocked by it. */
  readonly readers: string;
  /** A file a standby, flocked by it; the directory is made by the first. */
  readonly standbys: string;
  /** The name of the standby's file whom the volume was handed to, until it has it. */
  readonly heir: string;
}

export function volumeLayout(directory: string): VolumeLayout {
  return {
    directory,
    record: join(directory, 'record.json'),
    state: join(directory, 'state'),
    map: join(directory, 'map'),
    lock: join(directory, 'attach.lock'),
    readers: join(directory, 'readers'),
    standbys: join(directory, 'standbys'),
    heir: join(directory, 'heir'),
  };
}

/** Data of guests is nobody else's business. */
export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;
