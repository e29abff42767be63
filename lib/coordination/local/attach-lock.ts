/**
 * The lock of a volume: one writer, or any number of readers.
 *
 * An flock on an open file, which the kernel ends with the process, however that dies; what is
 * written in the files only tells others whom they are waiting for.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, TapdiskError } from '../../errors';
import { ATTACH_LOCK_TIMEOUT_MS, LOCK_RETRY_MS, OWNER_BYTES } from '../limits';
import type { FileSystem, LockKind } from './file-system';
import { FILE_MODE, type VolumeLayout } from './layout';
import { decodeOwner, describeOwner, encodeOwner, ownerRuns, type LocalOwner } from './owner';

export interface HeldLock {
  /** Ends the right to the volume; once. */
  release(): Promise<void>;
}

/**
 * Takes the lock, exclusively for a writer (or whoever deletes), shared for a reader.
 * @throws TapdiskError VOLUME_ATTACHED naming the owner; ENOENT where there is no such volume
 */
export async function takeAttachLock(
  volume: VolumeLayout,
  name: string,
  readOnly: boolean,
  fileSystem: FileSystem,
): Promise<HeldLock> {
  const fd = await lockFile(volume, name, readOnly ? 'shared' : 'exclusive', fileSystem);
  try {
    const owner = describeOwner(readOnly);
    if (readOnly) return await holdAsReader(volume, fd, owner, fileSystem);
    await sweepReaders(volume, fileSystem);
    await fileSystem.write(fd, encodeOwner(owner), 0);
    return {
      async release() {
        // Only for people's eyes: the right ends with the file, whatever this write does.
        await fileSystem.write(fd, encodeOwner(null), 0).catch(() => {});
        await fileSystem.close(fd);
      },
    };
  } catch (error) {
    await fileSystem.close(fd);
    throw error;
  }
}

/** Who has the volume now, or null. */
export async function findOwner(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<LocalOwner | null> {
  const deadline = performance.now() + ATTACH_LOCK_TIMEOUT_MS;
  for (;;) {
    const writer = await probe(volume.lock, fileSystem);
    if (!writer.isLocked) return findReader(volume, fileSystem);
    const isSure = writer.owner !== null && ownerRuns(writer.owner);
    if (isSure || performance.now() >= deadline) return writer.owner ?? UNKNOWN_OWNER;
    await sleep(LOCK_RETRY_MS);
  }
}

/** A process that holds the lock and did not tell its name. */
const UNKNOWN_OWNER: LocalOwner = {
  host: 'unknown',
  pid: 0,
  readOnly: false,
  attachedAt: new Date(0).toISOString(),
  bootId: '',
  startTime: '',
};

async function lockFile(
  volume: VolumeLayout,
  name: string,
  kind: LockKind,
  fileSystem: FileSystem,
): Promise<number> {
  const deadline = performance.now() + ATTACH_LOCK_TIMEOUT_MS;
  for (;;) {
    const fd = await fileSystem.open(volume.lock, kind === 'shared' ? 'r' : 'r+');
    try {
      if (fileSystem.tryLock(fd, kind)) {
        // The volume may have been deleted, and made anew, between open and lock.
        if (await fileSystem.isAt(fd, volume.lock)) return fd;
      } else {
        const owner = await namedOwner(volume, fileSystem);
        if (owner !== null || performance.now() >= deadline) throw attached(name, owner);
      }
    } catch (error) {
      await fileSystem.close(fd);
      throw error;
    }
    await fileSystem.close(fd);
    await sleep(LOCK_RETRY_MS);
  }
}

/** The owner where one is known to run; whoever only looked at the lock has none. */
async function namedOwner(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<LocalOwner | null> {
  const { isLocked, owner } = await probe(volume.lock, fileSystem);
  if (!isLocked) return findReader(volume, fileSystem);
  return owner !== null && ownerRuns(owner) ? owner : null;
}

async function holdAsReader(
  volume: VolumeLayout,
  fd: number,
  owner: LocalOwner,
  fileSystem: FileSystem,
): Promise<HeldLock> {
  const path = join(volume.readers, `${randomUUID()}.json`);
  const readerFd = await announceReader(path, owner, fileSystem);
  return {
    async release() {
      if (readerFd !== null) {
        await fileSystem.unlink(path).catch(() => {});
        await fileSystem.close(readerFd);
      }
      await fileSystem.close(fd);
    },
  };
}

/** Null where the disk is full or read-only: reading goes on, namelessly. */
async function announceReader(
  path: string,
  owner: LocalOwner,
  fileSystem: FileSystem,
): Promise<number | null> {
  let fd: number | null = null;
  try {
    fd = await fileSystem.open(path, 'wx+', FILE_MODE);
    fileSystem.tryLock(fd, 'exclusive');
    await fileSystem.write(fd, encodeOwner(owner), 0);
    return fd;
  } catch (error) {
    if (fd !== null) {
      await fileSystem.unlink(path).catch(() => {});
      await fileSystem.close(fd);
    }
    if (['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES'].includes(errnoOf(error) ?? '')) return null;
    throw error;
  }
}

async function findReader(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<LocalOwner | null> {
  for (const file of await fileSystem.readdir(volume.readers)) {
    try {
      const { isLocked, owner } = await probe(join(volume.readers, file), fileSystem);
      if (isLocked && owner !== null) return owner;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  return null;
}

/** The writer's lock says that there is no reader: what is left are the names of dead ones. */
async function sweepReaders(volume: VolumeLayout, fileSystem: FileSystem): Promise<void> {
  for (const file of await fileSystem.readdir(volume.readers)) {
    await fileSystem.unlink(join(volume.readers, file));
  }
}

async function probe(
  path: string,
  fileSystem: FileSystem,
): Promise<{ isLocked: boolean; owner: LocalOwner | null }> {
  const fd = await fileSystem.open(path, 'r');
  try {
    const isLocked = !fileSystem.tryLock(fd, 'shared');
    if (!isLocked) return { isLocked, owner: null };
    const bytes = Buffer.alloc(OWNER_BYTES);
    const count = await fileSystem.read(fd, bytes, 0);
    return { isLocked, owner: decodeOwner(bytes.subarray(0, count)) };
  } finally {
    await fileSystem.close(fd);
  }
}

function attached(name: string, owner: LocalOwner | null): TapdiskError {
  const who = owner === null ? 'another process' : `process ${owner.pid} on host ${owner.host}`;
  const how = owner?.readOnly ? ', read-only, so it cannot be written to' : '';
  return new TapdiskError(
    'VOLUME_ATTACHED',
    `volume "${name}" is attached by ${who}${how}; detach it there first`,
    { transient: true },
  );
}
