/** xenstored's own socket, the way in where the daemon runs in this domain. */
import net from 'node:net';
import { errnoOf, sentenceOf } from '../errors';
import { CONNECT_TIMEOUT_MS, PAYLOAD_BYTES_MAX } from './limits';
import type { Transport, TransportEvents } from './transport';
import { HEADER_BYTES } from './wire';

/** Rejects with the socket's error, ETIMEDOUT after the deadline. */
export function connectSocket(path: string, timeoutMs = CONNECT_TIMEOUT_MS): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        Object.assign(new Error(`no connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }),
      );
    }, timeoutMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(new SocketTransport(path, socket));
    });
  });
}

class SocketTransport implements Transport {
  readonly messageBytesMax = HEADER_BYTES + PAYLOAD_BYTES_MAX;
  readonly takesSeveral = true;
  private isOver = false;

  constructor(
    readonly path: string,
    private readonly socket: net.Socket,
  ) {}

  start(events: TransportEvents): void {
    const over = (reason: string): void => {
      if (this.isOver) return;
      this.isOver = true;
      this.socket.destroy();
      events.lost(reason);
    };
    this.socket.on('data', (chunk: Buffer) => events.bytes(chunk));
    this.socket.on('error', (error) => over(errnoOf(error) ?? sentenceOf(error)));
    this.socket.on('close', () => over('it closed the connection'));
  }

  send(message: Buffer): void {
    this.socket.write(message);
  }

  close(): void {
    this.isOver = true;
    this.socket.destroy();
  }
}
