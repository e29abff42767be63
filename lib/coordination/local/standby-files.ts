/**
 * Who stands by for a volume, a flocked file each, and which of them is to have it next.
 *
 * As with the attach lock, the kernel ends a file's lock with the process: a file without one is of
 * a dead process, and its name means nothing any more.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf } from '../../errors';
import { OWNER_BYTES } from '../limits';
import { TEMPORARY_PREFIX } from './durable-file';
import type { FileSystem } from './file-system';
import { DIRECTORY_MODE, FILE_MODE, type VolumeLayout } from './layout';
import { decodeOwner, describeOwner, encodeOwner } from './owner';

export interface KnownStandby {
  readonly id: string;
  /** "host:pid" */
  readonly name: string;
}

export interface AnnouncedStandby extends KnownStandby {
  withdraw(): Promise<void>;
}

/** Null where the disk is full: one can wait without a name, but is handed nothing. */
export async function announceStandby(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<AnnouncedStandby | null> {
  const id = randomUUID();
  const owner = describeOwner(false);
  const path = join(volume.standbys, id);
  const temporary = join(volume.standbys, TEMPORARY_PREFIX + id);
  let fd: number | null = null;
  try {
    await fileSystem.mkdir(volume.standbys, DIRECTORY_MODE).catch(unlessPresent);
    fd = await fileSystem.open(temporary, 'wx+', FILE_MODE);
    fileSystem.tryLock(fd, 'exclusive');
    await fileSystem.write(fd, encodeOwner(owner), 0);
    // Named only once it is locked: a name without a lock is swept.
    await fileSystem.rename(temporary, path);
  } catch (error) {
    if (fd !== null) {
      await fileSystem.unlink(temporary).catch(() => {});
      await fileSystem.close(fd);
    }
    if (errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT') return null;
    throw error;
  }
  const opened = fd;
  return {
    id,
    name: `${owner.host}:${owner.pid}`,
    async withdraw() {
      await fileSystem.unlink(path).catch(() => {});
      await fileSystem.close(opened);
    },
  };
}

/** Those that live; what dead ones left is removed. */
export async function livingStandbys(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<KnownStandby[]> {
  const living: KnownStandby[] = [];
  for (const id of await idsIn(volume, fileSystem)) {
    const name = await nameOfLiving(volume, id, fileSystem);
    if (name !== null) living.push({ id, name });
    else await fileSystem.unlink(join(volume.standbys, id)).catch(() => {});
  }
  return living.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** From here on nobody else can attach, for as long as that one lives. */
export async function appointHeir(
  volume: VolumeLayout,
  id: string,
  fileSystem: FileSystem,
): Promise<void> {
  const temporary = join(volume.directory, `${TEMPORARY_PREFIX}${randomUUID()}`);
  const fd = await fileSystem.open(temporary, 'wx', FILE_MODE);
  try {
    await fileSystem.write(fd, Buffer.from(id), 0);
    await fileSystem.rename(temporary, volume.heir);
  } catch (error) {
    await fileSystem.unlink(temporary).catch(() => {});
    throw error;
  } finally {
    await fileSystem.close(fd);
  }
}

/** Whom the volume was handed to and who has not taken it yet; null where nobody living is. */
export async function livingHeir(
  volume: VolumeLayout,
  fileSystem: FileSystem,
): Promise<KnownStandby | null> {
  const id = await fileSystem.readText(volume.heir).catch(unlessMissing);
  if (id === null || !HEIR.test(id)) return null;
  const name = await nameOfLiving(volume, id, fileSystem);
  return name === null ? null : { id, name };
}

/** Of whoever has taken the volume. */
export async function dismissHeir(volume: VolumeLayout, fileSystem: FileSystem): Promise<void> {
  const appointed = await fileSystem.readText(volume.heir).catch(unlessMissing);
  if (appointed !== null) await fileSystem.unlink(volume.heir);
}

/** What randomUUID makes: nothing else is looked for as a file's name. */
const HEIR = /^[0-9a-f-]{36}$/;

async function idsIn(volume: VolumeLayout, fileSystem: FileSystem): Promise<string[]> {
  const names = await fileSystem.readdir(volume.standbys).catch(unlessMissing);
  return names === null ? [] : names.filter((name) => HEIR.test(name));
}

async function nameOfLiving(
  volume: VolumeLayout,
  id: string,
  fileSystem: FileSystem,
): Promise<string | null> {
  const fd = await fileSystem.open(join(volume.standbys, id), 'r').catch(unlessMissing);
  if (fd === null) return null;
  try {
    if (fileSystem.tryLock(fd, 'shared')) return null;
    const bytes = Buffer.alloc(OWNER_BYTES);
    const owner = decodeOwner(bytes.subarray(0, await fileSystem.read(fd, bytes, 0)));
    return owner === null ? null : `${owner.host}:${owner.pid}`;
  } finally {
    await fileSystem.close(fd);
  }
}

function unlessPresent(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error;
}

function unlessMissing(error: unknown): null {
  if (errnoOf(error) === 'ENOENT') return null;
  throw error;
}
