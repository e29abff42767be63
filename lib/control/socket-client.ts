/** Reaches running tapdisk processes through their control sockets. */
import net from 'node:net';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import type { DiskStatus } from './disk-host';
import {
  SOCKET_ANSWER_TIMEOUT_MS,
  SOCKET_CONNECT_TIMEOUT_MS,
  SOCKET_LINE_BYTES_MAX,
  SOCKET_LIST_TIMEOUT_MS,
} from './limits';
import { LineReader } from './line-reader';
import { existingRuntimeDirectory } from './runtime-dir';
import { removeSocket, scanSockets } from './socket-files';
import {
  parseResponse,
  requestLine,
  type SocketMethod,
  type SocketParams,
  type SocketResult,
} from './socket-protocol';

type Environment = Readonly<Record<string, string | undefined>>;

export interface CallOptions {
  readonly connectTimeoutMs?: number;
  readonly answerTimeoutMs?: number;
}

/**
 * Asks one process one thing.
 * @throws TapdiskError CONTROL_SOCKET_DEAD (nobody listens), CONTROL_TIMEOUT, CONTROL_CLOSED,
 * CONTROL_BAD_ANSWER, and whatever the process refuses with, DISK_NOT_FOUND above all
 */
export async function callProcess<M extends SocketMethod>(
  socketPath: string,
  method: M,
  params: SocketParams<M>,
  options: CallOptions = {},
): Promise<SocketResult<M>> {
  const socket = await connect(socketPath, options.connectTimeoutMs ?? SOCKET_CONNECT_TIMEOUT_MS);
  try {
    const answer = receiveLine(
      socket,
      socketPath,
      options.answerTimeoutMs ?? SOCKET_ANSWER_TIMEOUT_MS,
    );
    socket.write(requestLine(REQUEST_ID, method, params));
    return parseResponse(await answer, REQUEST_ID, method);
  } finally {
    socket.destroy();
  }
}

/** One request a connection, so any number does. */
const REQUEST_ID = 1;

/** One running process. */
export interface RunningProcess {
  readonly pid: number;
  readonly socketPath: string;
  readonly disks: readonly DiskStatus[];
  /** Why it did not answer, or null: then `disks` is what it serves. */
  readonly silence: string | null;
}

/**
 * All processes of this user, by rising pid. Sockets that nobody listens on are removed; a process
 * that is there but does not answer is listed without disks.
 */
export async function listRunning(
  env: Environment = process.env,
  options: CallOptions = {},
): Promise<RunningProcess[]> {
  const directory = existingRuntimeDirectory(env);
  if (directory === null) return [];
  const answerTimeoutMs = options.answerTimeoutMs ?? SOCKET_LIST_TIMEOUT_MS;
  const listed = scanSockets(directory).map(async ({ pid, path }) => {
    try {
      const { disks } = await callProcess(path, 'list', {}, { ...options, answerTimeoutMs });
      return { pid, socketPath: path, disks, silence: null };
    } catch (error) {
      if (!(error instanceof TapdiskError) || error.code !== 'CONTROL_SOCKET_DEAD') {
        return { pid, socketPath: path, disks: [], silence: sentenceOf(error) };
      }
      removeSocket(path);
      return null;
    }
  });
  return (await Promise.all(listed)).filter((entry) => entry !== null);
}

/** A disk and the process that serves it. */
export interface RunningDisk {
  readonly socketPath: string;
  readonly disk: DiskStatus;
}

/**
 * The running disk of `volume` ("pool/volume"), in process `pid` where one is given; else in the
 * one that serves it rather than in one that stands by.
 * @throws TapdiskError DISK_NOT_FOUND; DISK_AMBIGUOUS where several processes serve it
 */
export async function findRunningDisk(
  volume: string,
  pid: number | undefined,
  env: Environment = process.env,
): Promise<RunningDisk> {
  const running = await listRunning(env);
  const found = running
    .filter((entry) => pid === undefined || entry.pid === pid)
    .flatMap(({ socketPath, disks }) => disks.map((disk) => ({ socketPath, disk })))
    .filter(({ disk }) => disk.volume === volume);
  if (found.length === 1) return found[0];
  // Those that stand by are asked only by their pid.
  const serving = found.filter(({ disk }) => disk.state !== 'standby');
  if (serving.length === 1) return serving[0];
  if (found.length > 1) {
    const pids = found.map(({ disk }) => disk.pid).join(', ');
    throw new TapdiskError(
      'DISK_AMBIGUOUS',
      `Several processes serve ${volume} (${pids}); say which with --pid.`,
    );
  }
  const silent = running.filter(({ silence }) => silence !== null).map((entry) => entry.pid);
  const hint = silent.length === 0 ? '' : ` Not asked, since silent: process ${silent.join(', ')}.`;
  const where = pid === undefined ? 'No running process of yours' : `Process ${pid}`;
  throw new TapdiskError(
    'DISK_NOT_FOUND',
    `${where}${pid === undefined ? ' serves' : ' does not serve'} ${volume}.${hint}`,
  );
}

function connect(socketPath: string, timeoutMs: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(timedOut(socketPath, timeoutMs));
    }, timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(connectFailure(socketPath, error));
    });
  });
}

function receiveLine(socket: net.Socket, socketPath: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = new LineReader(SOCKET_LINE_BYTES_MAX);
    const timer = setTimeout(() => reject(timedOut(socketPath, timeoutMs)), timeoutMs);
    socket.on('data', (chunk: Buffer) => {
      if (!lines.push(chunk)) {
        reject(new TapdiskError('CONTROL_BAD_ANSWER', `The answer of ${socketPath} is too long.`));
        socket.destroy();
        return;
      }
      const line = lines.next();
      if (line !== null) resolve(line);
    });
    socket.once('close', () => {
      clearTimeout(timer);
      reject(
        new TapdiskError(
          'CONTROL_CLOSED',
          `The tapdisk process behind ${socketPath} closed the connection without an answer.`,
          { transient: true },
        ),
      );
    });
  });
}

function connectFailure(socketPath: string, error: Error): TapdiskError {
  const errno = errnoOf(error) ?? sentenceOf(error);
  if (errno === 'ECONNREFUSED' || errno === 'ENOENT') {
    const message = `No process listens on the control socket ${socketPath}.`;
    return new TapdiskError('CONTROL_SOCKET_DEAD', message, { cause: error });
  }
  const message = `The control socket ${socketPath} cannot be reached (${errno}).`;
  return new TapdiskError('CONTROL_SOCKET_UNREACHABLE', message, { cause: error });
}

function timedOut(socketPath: string, timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'CONTROL_TIMEOUT',
    `The tapdisk process behind ${socketPath} did not answer within ${timeoutMs} ms.`,
    { transient: true },
  );
}
