/** Where running processes keep their sockets and FIFOs: one private directory a user. */
import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import path from 'node:path';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import { SOCKET_PATH_BYTES_MAX } from './limits';

/** Overrides the directory; it must be private to its user like any other. */
export const RUNTIME_DIR_VARIABLE = 'TAPDISK_TS_RUNTIME_DIR';

const PRIVATE_MODE = 0o700;

/** `vbd-<pid>.sock`, with room for the largest pid (4194304, proc(5)). */
const SOCKET_NAME_BYTES_MAX = '/vbd-4194304.sock'.length;

/**
 * The directory's path, made or not: the override, /run/tapdisk-ts for root, else
 * $XDG_RUNTIME_DIR/tapdisk-ts where that exists, else /tmp/tapdisk-ts-<uid>.
 * @throws TapdiskError RUNTIME_DIR_TOO_LONG
 */
export function runtimeDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const directory = chooseDirectory(env, ownUid());
  if (Buffer.byteLength(directory) + SOCKET_NAME_BYTES_MAX > SOCKET_PATH_BYTES_MAX) {
    throw new TapdiskError(
      'RUNTIME_DIR_TOO_LONG',
      `The runtime directory ${directory} is too long for a socket's path; set ` +
        `${RUNTIME_DIR_VARIABLE} to one of at most ` +
        `${SOCKET_PATH_BYTES_MAX - SOCKET_NAME_BYTES_MAX} bytes.`,
    );
  }
  return directory;
}

function chooseDirectory(env: Readonly<Record<string, string | undefined>>, uid: number): string {
  const override = env[RUNTIME_DIR_VARIABLE];
  if (override) return path.resolve(override);
  if (uid === 0) return '/run/tapdisk-ts';
  const session = env['XDG_RUNTIME_DIR'];
  if (session && statusOf(session)?.isDirectory()) return path.join(session, 'tapdisk-ts');
  return `/tmp/tapdisk-ts-${uid}`;
}

/**
 * Makes the directory with mode 0700 where it is missing, checks it, and returns its path.
 * @throws TapdiskError RUNTIME_DIR_OWNER, RUNTIME_DIR_MODE, RUNTIME_DIR_UNUSABLE
 */
export function ensureRuntimeDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const directory = runtimeDirectory(env);
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE_MODE });
  } catch (error) {
    throw unusable(directory, errnoOf(error) ?? sentenceOf(error));
  }
  checkPrivate(directory);
  return directory;
}

/** The checked directory, or null where there is none: then nothing of this user's is running. */
export function existingRuntimeDirectory(
  env: Readonly<Record<string, string | undefined>>,
): string | null {
  const directory = runtimeDirectory(env);
  if (statusOf(directory) === null) return null;
  checkPrivate(directory);
  return directory;
}

/** Nobody else may put a socket there, or take ours away: in /tmp anyone can be first. */
function checkPrivate(directory: string): void {
  const stat = statusOf(directory);
  if (stat === null || !stat.isDirectory()) throw unusable(directory, 'it is no directory');
  if (stat.uid !== ownUid()) {
    throw new TapdiskError(
      'RUNTIME_DIR_OWNER',
      `The runtime directory ${directory} belongs to user ${stat.uid}, not to you; set ` +
        `${RUNTIME_DIR_VARIABLE} to a directory of yours.`,
    );
  }
  const mode = stat.mode & 0o777;
  if ((mode & ~PRIVATE_MODE) !== 0) {
    throw new TapdiskError(
      'RUNTIME_DIR_MODE',
      `The runtime directory ${directory} is open to others (mode 0${mode.toString(8)}); ` +
        `run chmod 700 on it.`,
    );
  }
}

function statusOf(path_: string): Stats | null {
  try {
    return lstatSync(path_);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw unusable(path_, errnoOf(error) ?? sentenceOf(error));
  }
}

function unusable(directory: string, why: string): TapdiskError {
  return new TapdiskError(
    'RUNTIME_DIR_UNUSABLE',
    `The runtime directory ${directory} cannot be used (${why}).`,
  );
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}
