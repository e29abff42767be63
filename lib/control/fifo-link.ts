/** One end of the FIFO pair between toolstack and tapdisk: messages in, bytes out. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import net from 'node:net';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import { ANSWERS_UNREAD_BYTES_MAX, PARTIAL_MESSAGE_TIMEOUT_MS } from './limits';
import { MessageFraming, type FrameSink } from './message-framing';
import type { Direction } from './messages';

export interface FifoLinkOptions {
  /** What this end reads, and what it writes. */
  readonly readFifo: string;
  readonly writeFifo: string;
  /** Which way the messages go that this end reads. */
  readonly direction: Direction;
  readonly sink: FrameSink & { failed(error: TapdiskError): void };
  readonly partialTimeoutMs?: number;
}

export class FifoLink {
  private readonly framing: MessageFraming;
  private readonly input: net.Socket;
  private readonly output: net.Socket;
  private partialTimer: NodeJS.Timeout | undefined;

  /**
   * Opens both FIFOs O_RDWR|O_NONBLOCK, as both sides of blktap1 do: the open never waits for the
   * other side, and its end is never seen as an end of file.
   * @throws TapdiskError CONTROL_FIFO_OPEN, CONTROL_NOT_FIFO
   */
  constructor(private readonly options: FifoLinkOptions) {
    const input = openFifo(options.readFifo);
    let output: number;
    try {
      output = openFifo(options.writeFifo);
    } catch (error) {
      closeSync(input);
      throw error;
    }
    this.framing = new MessageFraming(options.direction, options.sink);
    this.input = new net.Socket({ fd: input, readable: true, writable: false });
    this.output = new net.Socket({ fd: output, readable: false, writable: true });
    this.input.on('data', (read: Buffer) => this.taken(read));
    for (const [socket, path] of [
      [this.input, options.readFifo],
      [this.output, options.writeFifo],
    ] as const) {
      socket.on('error', (error) => options.sink.failed(failure(path, error)));
    }
  }

  /** Writes one message; false where nobody reads and it was dropped. */
  send(bytes: Buffer): boolean {
    if (this.output.destroyed) return false;
    if (this.output.writableLength + bytes.length > ANSWERS_UNREAD_BYTES_MAX) return false;
    this.output.write(bytes);
    return true;
  }

  /** Stops reading: the FIFO fills, and the other side waits. */
  pause(): void {
    this.input.pause();
  }

  resume(): void {
    this.input.resume();
  }

  /** Closes both FIFOs; the sink hears nothing more. */
  async close(): Promise<void> {
    clearTimeout(this.partialTimer);
    this.input.removeAllListeners('data');
    await Promise.all([closed(this.input), closed(this.output)]);
  }

  private taken(read: Buffer): void {
    clearTimeout(this.partialTimer);
    this.framing.push(read);
    if (this.framing.partialBytes === 0) return;
    const timeoutMs = this.options.partialTimeoutMs ?? PARTIAL_MESSAGE_TIMEOUT_MS;
    this.partialTimer = setTimeout(() => this.framing.dropPartial(), timeoutMs);
  }
}

function openFifo(path: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw failure(path, error);
  }
  if (fstatSync(descriptor).isFIFO()) return descriptor;
  closeSync(descriptor);
  throw new TapdiskError(
    'CONTROL_NOT_FIFO',
    `${path} is not a FIFO; tapdisk takes the two FIFOs that the toolstack has made.`,
  );
}

function failure(path: string, error: unknown): TapdiskError {
  return new TapdiskError(
    'CONTROL_FIFO_OPEN',
    `The FIFO ${path} cannot be opened or used (${errnoOf(error) ?? sentenceOf(error)}).`,
    { cause: error },
  );
}

function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    socket.once('close', () => resolve());
    socket.destroy();
  });
}
