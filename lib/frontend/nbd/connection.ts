/** One client's connection, from its first byte to its last: negotiation, TLS, transmission. */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { createServer, type TlsOptions } from 'node:tls';
import { watchReadable } from '../../../native-bindings/readiness';
import { sentenceOf, TapdiskError } from '../../errors';
import { type AdoptedSocket, adoptSocket } from './adopt-socket';
import type { NbdExport } from './export';
import type { LargeAreas } from './large-areas';
import {
  NEGOTIATION_OUTPUT_BYTES_MAX,
  NEGOTIATION_TIMEOUT_MS,
  RECEIVE_BYTES,
  RECEIVE_IN_PLACE_BYTES_MIN,
  STALL_TIMEOUT_MS,
} from './limits';
import { type Agreement, Negotiation } from './negotiation';
import { SocketReader } from './socket-reader';
import { Transmission } from './transmission';

export interface ConnectionOptions {
  /** Accepted and paused. */
  readonly accepted: Socket;
  readonly exports: readonly NbdExport[];
  /** For a listener that demands TLS, else null. */
  readonly tls: TlsOptions | null;
  readonly largeAreas: LargeAreas;
  readonly negotiationTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
  /** The connection failed for this reason; `onClosed` follows. */
  readonly onFailed: (reason: TapdiskError) => void;
  /** The socket is closed. Requests of the connection may still be at a VBD: see `inFlight`. */
  readonly onClosed: () => void;
}

export class Connection {
  /** The plain socket, also below TLS. */
  private readonly plain: Socket;
  private socket: Socket;
  private readonly fd: number;
  private negotiation: Negotiation;
  private transmission: Transmission | null = null;
  private readonly negotiationTimer: NodeJS.Timeout;
  /** Null where Node's stream is read. */
  private readonly reader: SocketReader | null;
  private failure: TapdiskError | null = null;
  private isClosed = false;
  private progressSeen = -1;
  private stalledSinceMs = 0;

  constructor(private readonly options: ConnectionOptions) {
    const { accepted, exports, tls } = options;
    const adopted = tls === null ? adoptSocket(accepted) : null;
    this.plain = this.socket = adopted?.socket ?? accepted;
    this.fd = adopted?.fd ?? -1;
    this.reader = adopted === null ? null : this.makeReader(adopted);
    this.negotiation = new Negotiation({
      exports,
      tls: tls === null ? 'none' : 'required',
      send: (message) => this.sendInNegotiation(message),
    });
    const timeoutMs = options.negotiationTimeoutMs ?? NEGOTIATION_TIMEOUT_MS;
    this.negotiationTimer = setTimeout(() => this.fail(tooSlow(timeoutMs)), timeoutMs);
    this.socket.setNoDelay(true);
    this.socket.setKeepAlive(true);
    this.listen(this.socket);
    this.negotiation.begin();
    this.reader?.waitWith(watchReadable);
  }

  /** Name of the export in use, or null before one was chosen. */
  exportName: string | null = null;

  /** Requests at the VBD. */
  get inFlight(): number {
    return this.transmission?.inFlight ?? 0;
  }

  /** Requests taken so far. */
  get requests(): number {
    return this.transmission?.requests ?? 0;
  }

  /** Takes nothing more, answers what was taken, hangs up. */
  finish(): void {
    if (this.transmission === null) this.destroy();
    else this.transmission.finish();
  }

  /** Hangs up now. */
  destroy(): void {
    this.reader?.stop();
    this.socket.destroy();
    this.plain.destroy();
  }

  /** As `destroy`; whatever its requests at the VBD come to, nothing of the connection is left. */
  abandon(): void {
    this.destroy();
    this.closed();
  }

  /** To be called now and then: gives a client up that owes something and does nothing. */
  checkProgress(nowMs: number): void {
    const { transmission } = this;
    if (transmission === null) return;
    if (!transmission.isOwed || transmission.progress !== this.progressSeen) {
      this.progressSeen = transmission.progress;
      this.stalledSinceMs = nowMs;
      return;
    }
    const timeoutMs = this.options.stallTimeoutMs ?? STALL_TIMEOUT_MS;
    if (nowMs - this.stalledSinceMs >= timeoutMs) this.fail(stalled(timeoutMs));
  }

  private listen(socket: Socket): void {
    socket.on('error', (error) => this.fail(brokenOff(sentenceOf(error))));
    socket.on('close', () => this.closed());
    if (this.reader !== null) return;
    socket.on('end', () => this.ended());
    socket.on('data', (bytes: Buffer) => {
      if (!this.received(bytes, bytes.length)) socket.pause();
    });
    socket.resume();
  }

  private makeReader({ socket, fd }: AdoptedSocket): SocketReader {
    const staging = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    return new SocketReader(socket, fd, {
      buffer: () => this.payloadRoom() ?? staging,
      received: (bytes, length) => {
        if (bytes === staging || this.transmission === null) return this.received(bytes, length);
        this.transmission.receivedInPlace(length);
        return true;
      },
      ended: (errno) => {
        if (errno === 0) this.ended();
        else this.fail(brokenOff(getSystemErrorName(-errno)));
      },
    });
  }

  /** The place of a payload of which enough is missing to read it straight there, or null. */
  private payloadRoom(): Buffer | null {
    const room = this.transmission?.payloadRoom();
    return room === undefined || room.length < RECEIVE_IN_PLACE_BYTES_MIN ? null : room;
  }

  /** False: read no more until the transmission says so. */
  private received(bytes: Buffer, length: number): boolean {
    if (this.transmission !== null) return this.transmission.receive(bytes, length);
    return this.negotiate(Buffer.from(bytes.subarray(0, length)));
  }

  /** False as `received`. */
  private negotiate(bytes: Buffer): boolean {
    try {
      const state = this.negotiation.receive(bytes);
      if (state === 'aborted') this.hangUp();
      else if (state === 'start-tls') this.startTls();
      else if (state !== 'going-on') return this.startTransmission(state);
    } catch (error) {
      if (!(error instanceof TapdiskError)) throw error;
      this.fail(error);
    }
    return true;
  }

  private sendInNegotiation(message: Buffer): void {
    this.socket.write(message);
    if (this.socket.writableLength > NEGOTIATION_OUTPUT_BYTES_MAX) {
      throw new TapdiskError(
        'NBD_PROTOCOL',
        'The client broke the NBD protocol: it asks, and does not read the answers.',
      );
    }
  }

  /** A TLS server of its own checks the client's certificate or key, as servers do. */
  private startTls(): void {
    const plain = this.socket;
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    const server = createServer({ ...this.options.tls });
    server.on('tlsClientError', (error) => this.fail(tlsFailed(error)));
    server.on('secureConnection', (secure) => {
      this.socket = secure;
      this.negotiation = this.negotiation.withinTls();
      this.listen(secure);
    });
    server.emit('connection', plain);
  }

  private startTransmission(agreement: Agreement): boolean {
    clearTimeout(this.negotiationTimer);
    const { socket } = this;
    this.exportName = agreement.export.name;
    const transmission = new Transmission({
      export: agreement.export,
      structured: agreement.structured,
      blockStatus: agreement.blockStatus,
      socket,
      fd: this.fd,
      largeAreas: this.options.largeAreas,
      onReadable: () => (this.reader === null ? socket.resume() : this.reader.resume()),
      onFinished: () => this.hangUp(),
      onViolation: (reason) => this.fail(reason),
    });
    this.transmission = transmission;
    const watch = agreement.export.watchReadable;
    if (watch !== undefined) this.reader?.waitWith(watch);
    const { rest } = agreement;
    return rest.length === 0 || transmission.receive(rest, rest.length);
  }

  /** Sends what is to be sent, and closes. */
  private hangUp(): void {
    this.reader?.stop();
    this.socket.end(() => this.destroy());
  }

  /** The client sends no more. */
  private ended(): void {
    if (this.transmission === null) this.hangUp();
    else this.transmission.finish();
  }

  private fail(reason: TapdiskError): void {
    this.failed(reason);
    this.destroy();
  }

  private failed(reason: TapdiskError): void {
    if (this.failure !== null || this.isClosed) return;
    this.failure = reason;
    this.options.onFailed(reason);
  }

  private closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.negotiationTimer);
    this.reader?.stop();
    this.transmission?.abandon();
    this.options.onClosed();
  }
}

function tooSlow(timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'NBD_NEGOTIATION_TIMEOUT',
    `The client did not choose an export within ${timeoutMs} ms; it was hung up on.`,
  );
}

function stalled(timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'NBD_STALLED',
    `The client stopped in the middle of a request, or took no replies, for ${timeoutMs} ms; ` +
      `it was hung up on.`,
  );
}

function tlsFailed(error: Error): TapdiskError {
  return new TapdiskError(
    'NBD_TLS_FAILED',
    `TLS could not be agreed on with the client (${sentenceOf(error)}); it was hung up on.`,
    { cause: error },
  );
}

function brokenOff(why: string): TapdiskError {
  return new TapdiskError('NBD_CONNECTION_BROKEN', `The connection broke off (${why}).`);
}
