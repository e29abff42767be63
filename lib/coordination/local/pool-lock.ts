/** The lock of a pool's directory: one change at a time, by whichever process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TapdiskError } from '../../errors';
import { LOCK_RETRY_MS, POOL_LOCK_TIMEOUT_MS } from '../limits';
import type { FileSystem } from './file-system';

/** Runs `change` alone. @throws TapdiskError POOL_BUSY after `timeoutMs` */
export async function withPoolLock<Result>(
  path: string,
  fileSystem: FileSystem,
  change: () => Promise<Result>,
  timeoutMs = POOL_LOCK_TIMEOUT_MS,
): Promise<Result> {
  const fd = await fileSystem.open(path, 'r+');
  try {
    const deadline = performance.now() + timeoutMs;
    while (!fileSystem.tryLock(fd, 'exclusive')) {
      if (performance.now() >= deadline) throw poolBusy(path, timeoutMs);
      await sleep(LOCK_RETRY_MS);
    }
    return await change();
  } finally {
    await fileSystem.close(fd);
  }
}

/** Runs `change` where nobody else has the lock; false where somebody has. */
export async function tryWithPoolLock(
  path: string,
  fileSystem: FileSystem,
  change: () => Promise<void>,
): Promise<boolean> {
  const fd = await fileSystem.open(path, 'r+');
  try {
    if (!fileSystem.tryLock(fd, 'exclusive')) return false;
    await change();
    return true;
  } finally {
    await fileSystem.close(fd);
  }
}

function poolBusy(path: string, timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'POOL_BUSY',
    `another process has held ${path} for ${timeoutMs / 1000} seconds; try again when it is done`,
    { transient: true },
  );
}
