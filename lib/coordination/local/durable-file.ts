/** Replaces a file so that a crash at any instant leaves the old content or the new, never a part. */
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { NODE_FILE_SYSTEM, type FileSystem } from './file-system';

/** Names that begin so are half-written files; whoever owns the directory sweeps them. */
export const TEMPORARY_PREFIX = '.tmp-';

export interface DurableOptions {
  readonly mode?: number;
  readonly fileSystem?: FileSystem;
}

/** Writes beside the file, syncs, renames, syncs the directory. */
export async function writeFileDurably(
  path: string,
  content: string | Buffer,
  { mode = 0o644, fileSystem = NODE_FILE_SYSTEM }: DurableOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
  try {
    await writeNewFile(temporary, content, mode, fileSystem);
    await fileSystem.rename(temporary, path);
  } catch (error) {
    await fileSystem.unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path), fileSystem);
}

/** Writes a file that must not exist yet, and syncs it; its name is not durable yet. */
export async function writeNewFile(
  path: string,
  content: string | Buffer,
  mode: number,
  fileSystem: FileSystem,
): Promise<void> {
  const fd = await fileSystem.open(path, 'wx', mode);
  try {
    await fileSystem.write(fd, Buffer.from(content), 0);
    await fileSystem.fsync(fd);
  } finally {
    await fileSystem.close(fd);
  }
}

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(path: string, fileSystem: FileSystem): Promise<void> {
  const fd = await fileSystem.open(path, 'r');
  try {
    await fileSystem.fsync(fd);
  } finally {
    await fileSystem.close(fd);
  }
}
