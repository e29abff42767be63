/** One side of a stand-in device: its lock, its state file, and its view of the other side's. */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod/v3';
import * as posix from '../../../native-bindings/posix';
import { errnoOf, TapdiskError } from '../../errors';
import { integer } from '../../integer';
import { SHM_JSON_BYTES_MAX, SHM_LOCK_RETRY_MS, SHM_LOCK_TRIES } from '../limits';
import type { ShmDevice } from './shm-device';

export type SideName = 'front' | 'back';

const STATE_VERSION = 1;

const servedDiskSchema = z.strictObject({
  /** Size, in sectors of 512 bytes. */
  sectors: integer.min(0),
  readOnly: z.boolean(),
});

export type ServedDisk = z.infer<typeof servedDiskSchema>;

/**
 * What a side says of itself. A session is one life of the ring, from the front end's making it
 * afresh to either side's leaving it; docs/formats-shm.md has the rules.
 */
const sideStateSchema = z.strictObject({
  version: z.literal(STATE_VERSION),
  pid: integer.min(1),
  /** The last session that this side took part in; front ends count up. */
  session: integer.min(0),
  /**
   * Front end: 'initialising' while it waits to make the ring, 'connected', 'closed'.
   * Back end: 'waiting' for a newer session, 'connected', 'closed'.
   */
  state: z.enum(['initialising', 'waiting', 'connected', 'closed']),
  /** A connected back end's: what it serves. */
  disk: servedDiskSchema.optional(),
});

export type SideState = z.infer<typeof sideStateSchema>;

const FILES = {
  front: { state: 'frontEndState', lock: 'frontEndLock' },
  back: { state: 'backEndState', lock: 'backEndLock' },
} as const;

/** Holds a side's lock for as long as the process lives: the kernel drops it at any death. */
export class ShmSide {
  private released = false;

  private constructor(
    private readonly device: ShmDevice,
    private readonly name: SideName,
    private readonly lockFd: number,
  ) {}

  /**
   * Becomes that side.
   *
   * @throws TapdiskError SHM_IN_USE
   */
  static take(device: ShmDevice, name: SideName): ShmSide {
    const fd = posix.open(device.pathOf(FILES[name].lock), posix.O_RDWR);
    // Several tries: the other side takes the lock for an instant to see whether we live.
    for (let left = SHM_LOCK_TRIES; !tryLock(fd); left--) {
      if (left === 0) {
        posix.close(fd);
        throw inUse(device, name);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SHM_LOCK_RETRY_MS);
    }
    return new ShmSide(device, name, fd);
  }

  /** Our own state as our predecessor left it, or as we last wrote it. */
  get state(): SideState | undefined {
    return readState(this.device, this.name);
  }

  announce(session: number, state: SideState['state'], disk?: ServedDisk): void {
    const contents = { version: STATE_VERSION, pid: process.pid, session, state, disk };
    this.device.replace(FILES[this.name].state, contents);
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    posix.close(this.lockFd);
  }
}

/** A side's state; undefined if it has none, or none that can be read. */
export function readState(device: ShmDevice, name: SideName): SideState | undefined {
  const path = device.pathOf(FILES[name].state);
  try {
    if (statSync(path).size > SHM_JSON_BYTES_MAX) return undefined;
    return sideStateSchema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch (error) {
    if (error instanceof SyntaxError || errnoOf(error) !== undefined) return undefined;
    throw error;
  }
}

/** Whether a living process is that side. */
export function isTaken(device: ShmDevice, name: SideName): boolean {
  const fd = posix.open(device.pathOf(FILES[name].lock), posix.O_RDWR);
  try {
    return !tryLock(fd);
  } finally {
    posix.close(fd);
  }
}

function tryLock(fd: number): boolean {
  try {
    posix.flock(fd, posix.LOCK_EX | posix.LOCK_NB);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return false;
    throw error;
  }
}

function inUse(device: ShmDevice, name: SideName): TapdiskError {
  const pid = readState(device, name)?.pid;
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  return new TapdiskError(
    'SHM_IN_USE',
    `The ${name} end of the stand-in device ${device.directory} is ${who}; stop that one first.`,
  );
}
