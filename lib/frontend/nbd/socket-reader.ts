/** Reads a socket by its descriptor, into whatever memory the bytes are for. */
import type { Socket } from 'node:net';
import { readNow } from '../../../native-bindings/doorbell-io';
import type { Watch, WatchReadable } from '../../../native-bindings/watch';
import { END_CHECK_INTERVAL_MS, READS_PER_WAKEUP_MAX } from './limits';

export interface SocketReaderEvents {
  /** Where the next bytes go; not empty. */
  buffer(): Buffer;
  /** So many bytes have come into it. False: read no more until `resume`. */
  received(bytes: Buffer, lengthBytes: number): boolean;
  /** The other side sends no more, or with an errno: the connection is broken. */
  ended(errno: number): void;
}

const EAGAIN = -11;

export class SocketReader {
  private watch: Watch | null = null;
  private isPaused = false;
  private isStopped = false;
  private nextTurn: NodeJS.Immediate | null = null;
  private endCheck: NodeJS.Timeout | null = null;
  /** Something was read after the check of the end was asked for. */
  private hasReadSince = false;

  constructor(
    private readonly socket: Socket,
    /** The socket's own. */
    private readonly fd: number,
    private readonly events: SocketReaderEvents,
  ) {}

  /** Waits for bytes by this watch from now on, instead of by another. */
  waitWith(watchReadable: WatchReadable): void {
    this.watch?.stop();
    this.watch = watchReadable(this.fd, this.readable, { keepAlive: false });
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.readable();
  }

  /** Reads no more. A watch that goes on may keep the connection open beyond its socket. */
  stop(): void {
    this.isStopped = true;
    this.watch?.stop();
    this.watch = null;
    if (this.nextTurn !== null) clearImmediate(this.nextTurn);
    if (this.endCheck !== null) clearTimeout(this.endCheck);
    this.endCheck = null;
  }

  /**
   * All but the end of the connection: it may have been told together with the bytes. One more read
   * would show it, but costs as much as the first; so it is made when nothing has come for a while.
   */
  private checkEndSoon(): void {
    this.hasReadSince = true;
    this.endCheck ??= setTimeout(this.checkEnd, END_CHECK_INTERVAL_MS).unref();
  }

  private readonly checkEnd = (): void => {
    this.endCheck = null;
    if (this.hasReadSince) {
      this.checkEndSoon();
      this.hasReadSince = false;
    } else {
      this.readable();
    }
  };

  private readonly readable = (): void => {
    for (let reads = 0; reads < READS_PER_WAKEUP_MAX; reads++) {
      if (this.isPaused || this.isStopped) return;
      // Its number may be another connection's already.
      if (this.socket.destroyed) return this.stop();
      const bytes = this.events.buffer();
      const length = readNow(this.fd, bytes);
      if (length === EAGAIN) return;
      if (length <= 0) {
        this.stop();
        this.events.ended(-length);
        return;
      }
      if (!this.events.received(bytes, length)) this.isPaused = true;
      // Fewer than were asked for: no more are there, and what comes later is told.
      if (length < bytes.length) return this.checkEndSoon();
    }
    this.nextTurn ??= setImmediate(() => {
      this.nextTurn = null;
      this.readable();
    });
  };
}
