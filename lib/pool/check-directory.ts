/** Whether a directory may be used as a pool: it is one, and it is this user's. */
import type { Stats } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DIRECTORY_MODE } from '../coordination/local/layout';
import { errnoOf, TapdiskError } from '../errors';

const ROOT_UID = 0;

/** @throws TapdiskError POOL_DIRECTORY_MISSING, POOL_DIRECTORY_FOREIGN */
export async function checkPoolDirectory(
  directory: string,
  uid: number = process.geteuid!(),
): Promise<void> {
  let status: Stats;
  try {
    status = await stat(directory);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
    throw missing(directory, 'does not exist');
  }
  if (!status.isDirectory()) throw missing(directory, 'is not a directory');
  checkDirectoryOwner(directory, status.uid, uid);
}

/** Makes it private, where it is not there yet. @throws TapdiskError POOL_PARENT_MISSING */
export async function makePoolDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: DIRECTORY_MODE });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return;
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new TapdiskError(
      'POOL_PARENT_MISSING',
      `${dirname(directory)} does not exist, so no pool can be made in it; make it first`,
    );
  }
}

/** Another user could change a pool below this process; root may use anybody's. */
export function checkDirectoryOwner(directory: string, ownerUid: number, uid: number): void {
  if (uid === ROOT_UID || ownerUid === uid) return;
  throw new TapdiskError(
    'POOL_DIRECTORY_FOREIGN',
    `pool directory ${directory} belongs to user ${ownerUid} and this process runs as user ${uid}; ` +
      'run it as that user, or use a directory of your own',
  );
}

function missing(directory: string, why: string): TapdiskError {
  return new TapdiskError(
    'POOL_DIRECTORY_MISSING',
    `pool directory ${directory} ${why}; is its disk mounted?`,
  );
}
