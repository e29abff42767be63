/** Names of the control sockets in the runtime directory, and the removal of dead ones. */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { processIsAlive } from './process-alive';

export interface SocketFile {
  readonly pid: number;
  readonly path: string;
}

const NAME = /^vbd-([1-9][0-9]{0,9})\.sock$/;

/** Path of a process's control socket. */
export function socketPathOf(directory: string, pid: number): string {
  return path.join(directory, `vbd-${pid}.sock`);
}

/** Sockets of living processes, by rising pid; those of dead ones are removed. */
export function scanSockets(directory: string): SocketFile[] {
  const found: SocketFile[] = [];
  for (const name of readdirSync(directory)) {
    const match = NAME.exec(name);
    if (match === null) continue;
    const socket = { pid: Number(match[1]), path: path.join(directory, name) };
    if (processIsAlive(socket.pid)) found.push(socket);
    else removeSocket(socket.path);
  }
  return found.sort((a, b) => a.pid - b.pid);
}

/** Removes a socket that nobody listens on; one that is gone already is fine. */
export function removeSocket(socketPath: string): void {
  rmSync(socketPath, { force: true });
}
