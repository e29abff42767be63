/** One client of a control socket: its lines in, one answer each out, in order. */
import type net from 'node:net';
import { TapdiskError } from '../errors';
import { SOCKET_LINE_BYTES_MAX } from './limits';
import { LineReader } from './line-reader';
import { errorLine } from './socket-protocol';

const NEWLINE = 0x0a;

export class SocketConnection {
  private readonly lines = new LineReader(SOCKET_LINE_BYTES_MAX);
  private idleTimer: NodeJS.Timeout | undefined;
  private busy = false;
  private ending = false;

  /** `answer` resolves to the line that answers a line; it never rejects. */
  constructor(
    private readonly socket: net.Socket,
    private readonly answer: (line: string) => Promise<string>,
    private readonly idleTimeoutMs: number,
  ) {
    // A client that goes away in the middle is its own affair.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => clearTimeout(this.idleTimer));
    socket.on('data', (chunk: Buffer) => this.received(chunk));
    this.awaitLine();
  }

  /** Closes at once, or when the answer that is being worked on has been sent. */
  end(): void {
    this.ending = true;
    if (!this.busy) this.socket.destroy();
  }

  private awaitLine(): void {
    this.idleTimer = setTimeout(() => this.socket.destroy(), this.idleTimeoutMs);
  }

  private received(chunk: Buffer): void {
    if (!this.lines.push(chunk)) {
      this.socket.pause();
      this.socket.end(errorLine(null, lineTooLong()), () => this.socket.destroy());
      return;
    }
    // Bytes without a line's end do not extend the wait for it.
    if (chunk.includes(NEWLINE) && !this.busy) void this.work();
  }

  private async work(): Promise<void> {
    this.busy = true;
    clearTimeout(this.idleTimer);
    // One request at a time: what a client sends meanwhile waits in the kernel.
    this.socket.pause();
    let line = this.lines.next();
    while (line !== null && !this.socket.destroyed) {
      await this.send(await this.answer(line));
      if (this.ending) this.socket.destroy();
      line = this.lines.next();
    }
    this.busy = false;
    if (this.socket.destroyed) return;
    this.awaitLine();
    this.socket.resume();
  }

  /** Resolves when the line is in the kernel's hands, or the client is gone. */
  private send(line: string): Promise<void> {
    const { socket } = this;
    if (socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      socket.once('close', resolve);
      socket.write(line, () => {
        socket.off('close', resolve);
        resolve();
      });
    });
  }
}

function lineTooLong(): TapdiskError {
  return new TapdiskError(
    'CONTROL_LINE_TOO_LONG',
    `A line on the control socket is longer than ${SOCKET_LINE_BYTES_MAX} bytes.`,
  );
}
