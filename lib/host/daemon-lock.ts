/** One daemon a host: whoever has the lock is it, and the lock ends with its process. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as posix from '../../native-bindings/posix';
import { existingRuntimeDirectory } from '../control/runtime-dir';
import { errnoOf, TapdiskError } from '../errors';

const FILE = 'daemon.lock';

/** Kept until the process ends. @throws TapdiskError DAEMON_BUSY */
export function takeDaemonLock(runtimeDirectory: string): void {
  const file = path.join(runtimeDirectory, FILE);
  const fd = posix.open(file, posix.O_RDWR | posix.O_CREAT);
  try {
    posix.flock(fd, posix.LOCK_EX | posix.LOCK_NB);
  } catch (error) {
    posix.close(fd);
    if (errnoOf(error) !== 'EAGAIN') throw error;
    throw new TapdiskError(
      'DAEMON_BUSY',
      `The daemon runs already, as process ${readFileSync(file, 'utf8').trim()}; one serves all ` +
        'domains of a host.',
    );
  }
  writeFileSync(file, `${process.pid}\n`);
}

/** @throws TapdiskError DAEMON_NOT_RUNNING */
export function mustHaveDaemon(env: Readonly<Record<string, string | undefined>>): void {
  const runtime = existingRuntimeDirectory(env);
  if (runtime !== null && isLocked(path.join(runtime, FILE))) return;
  throw new TapdiskError(
    'DAEMON_NOT_RUNNING',
    'The daemon that serves the disks of domains is not running; start it: systemctl start tapdisk-ts',
  );
}

function isLocked(file: string): boolean {
  let fd: number;
  try {
    fd = posix.open(file, posix.O_RDONLY);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    posix.flock(fd, posix.LOCK_SH | posix.LOCK_NB);
    return false;
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return true;
    throw error;
  } finally {
    posix.close(fd);
  }
}
