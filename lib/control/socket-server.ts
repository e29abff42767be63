/** The control socket of a tapdisk process: lets later commands of the same user reach its disks. */
import { chmodSync } from 'node:fs';
import net from 'node:net';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import type { DiskAdmin } from './disk-host';
import type { Failures } from './failures';
import {
  SOCKET_CLOSE_TIMEOUT_MS,
  SOCKET_CONNECTIONS_MAX,
  SOCKET_IDLE_TIMEOUT_MS,
  SOCKET_REQUEST_TIMEOUT_MS,
} from './limits';
import { silentLog, type Log } from './log';
import { ensureRuntimeDirectory } from './runtime-dir';
import { SocketConnection } from './socket-connection';
import { removeSocket, scanSockets, socketPathOf } from './socket-files';
import {
  errorLine,
  parseRequest,
  requestIdOf,
  resultLine,
  type SocketRequest,
} from './socket-protocol';

export interface SocketServerOptions {
  readonly admin: DiskAdmin;
  readonly failures?: Failures;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly log?: Log;
  readonly requestTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
}

export class SocketServer {
  private readonly connections = new Map<net.Socket, SocketConnection>();
  private readonly log: Log;

  private constructor(
    private readonly options: SocketServerOptions,
    private readonly server: net.Server,
    readonly path: string,
  ) {
    this.log = options.log ?? silentLog;
    server.on('connection', (socket) => this.accept(socket));
  }

  /**
   * Listens on `<runtime directory>/vbd-<pid>.sock`, mode 0600, and removes what dead processes
   * left there.
   * @throws TapdiskError RUNTIME_DIR_*, CONTROL_SOCKET_LISTEN
   */
  static async listen(options: SocketServerOptions): Promise<SocketServer> {
    const directory = ensureRuntimeDirectory(options.env ?? process.env);
    scanSockets(directory);
    const path = socketPathOf(directory, process.pid);
    try {
      // Whoever had our pid before is dead.
      removeSocket(path);
    } catch (error) {
      throw cannotListen(path, error);
    }
    const server = net.createServer();
    server.maxConnections = SOCKET_CONNECTIONS_MAX;
    const served = new SocketServer(options, server, path);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(path, error)));
      server.listen(path, () => resolve());
    });
    // The directory is 0700, so there is no moment in which another user could connect.
    chmodSync(path, 0o600);
    server.on('error', (error) => served.log.error({}, sentenceOf(error)));
    return served;
  }

  /**
   * Stops listening, lets answers that are being worked on go out for a moment (a detach that ends
   * the process is still answered), and removes the socket.
   */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const connection of this.connections.values()) connection.end();
    const timer = setTimeout(() => {
      for (const socket of this.connections.keys()) socket.destroy();
    }, SOCKET_CLOSE_TIMEOUT_MS);
    await closed;
    clearTimeout(timer);
    removeSocket(this.path);
  }

  private accept(socket: net.Socket): void {
    const connection = new SocketConnection(
      socket,
      (line) => this.answer(line),
      this.options.idleTimeoutMs ?? SOCKET_IDLE_TIMEOUT_MS,
    );
    this.connections.set(socket, connection);
    socket.once('close', () => this.connections.delete(socket));
  }

  /** Never rejects: what goes wrong is the answer. */
  private async answer(line: string): Promise<string> {
    let request: SocketRequest | null = null;
    try {
      request = parseRequest(line);
      return resultLine(request.id, await this.inTime(request));
    } catch (error) {
      this.log.warn({ method: request?.method }, sentenceOf(error));
      return errorLine(request?.id ?? requestIdOf(line), error);
    }
  }

  private async inTime(request: SocketRequest): Promise<object> {
    const timeoutMs = this.options.requestTimeoutMs ?? SOCKET_REQUEST_TIMEOUT_MS;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(tooSlow(request.method, timeoutMs)), timeoutMs);
    });
    try {
      return await Promise.race([this.perform(request), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async perform(request: SocketRequest): Promise<object> {
    const { admin } = this.options;
    switch (request.method) {
      case 'list':
        return { disks: admin.list() };
      case 'failures':
        return { failures: this.options.failures?.list() ?? [] };
      case 'statistics':
        return admin.statistics(request.params.cookie);
      case 'pause':
        return done(admin.pause(request.params.cookie));
      case 'resume':
        return done(admin.resume(request.params.cookie));
      case 'detach':
        return done(admin.detach(request.params.cookie));
      case 'handOver':
        return admin.handOver(request.params.cookie, request.params.to);
      case 'resize':
        return admin.resize(request.params.cookie, request.params.size);
      case 'startRecording': {
        const { cookie, path, payload } = request.params;
        return done(admin.startRecording(cookie, { path, payload }));
      }
      case 'stopRecording':
        return admin.stopRecording(request.params.cookie);
    }
  }
}

async function done(work: Promise<void>): Promise<object> {
  await work;
  return {};
}

function cannotListen(path: string, error: unknown): TapdiskError {
  return new TapdiskError(
    'CONTROL_SOCKET_LISTEN',
    `The control socket ${path} cannot be made (${errnoOf(error) ?? sentenceOf(error)}).`,
    { cause: error },
  );
}

function tooSlow(method: string, timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'CONTROL_TIMEOUT',
    `The tapdisk process did not finish ${method} within ${timeoutMs} ms; it may still do so.`,
    { transient: true },
  );
}
