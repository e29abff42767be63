/** One connection: requests find their answers, watch events their callbacks, and all has an end. */
import { ANSWER_TIMEOUT_MS, REQUESTS_PENDING_MAX } from './limits';
import type { Transport } from './transport';
import {
  decodeStrings,
  encodeXsMessage,
  HEADER_BYTES,
  XS,
  XsMessageReader,
  type XsMessage,
} from './wire';
import { XenStoreError } from './xenstore-error';

export interface XsRequest {
  readonly type: number;
  /** 0 outside transactions. */
  readonly transactionId: number;
  readonly payload: Buffer;
  /** For the sentence of a refusal: "read", "/local/domain/5". */
  readonly verb: string;
  readonly path: string;
}

interface Pending {
  readonly request: XsRequest;
  readonly timer: NodeJS.Timeout;
  resolve(payload: Buffer): void;
  reject(error: XenStoreError): void;
}

const REQUEST_ID_MAX = 0xffff_ffff;

export class XenStoreConnection {
  private readonly pending = new Map<number, Pending>();
  private readonly watchers = new Map<string, (changed: string) => void>();
  private readonly reader = new XsMessageReader();
  /** Where the transport takes one message at a time: the ids of those that wait for their turn … */
  private readonly unsent: number[] = [];
  /** … and of the one that is not answered, 0 for none. */
  private unanswered = 0;
  private lastRequestId = 0;
  private over: XenStoreError | null = null;

  /** `onLost` is told once, after everything pending was rejected; not when `close` was called. */
  constructor(
    private readonly transport: Transport,
    private readonly onLost: (reason: XenStoreError) => void,
    private readonly answerTimeoutMs = ANSWER_TIMEOUT_MS,
  ) {
    transport.start({
      bytes: (chunk) => this.received(chunk),
      lost: (reason) => this.lost(reason),
    });
  }

  /** Resolves to the answer's payload. @throws XenStoreError */
  ask(request: XsRequest): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.over !== null) throw this.over;
      this.checkRoom(request);
      const requestId = this.nextRequestId();
      const timer = setTimeout(() => {
        this.pending.delete(requestId);
        reject(timedOut(request, this.answerTimeoutMs));
      }, this.answerTimeoutMs);
      this.pending.set(requestId, { request, timer, resolve, reject });
      if (this.transport.takesSeveral) this.send(requestId, request);
      else {
        this.unsent.push(requestId);
        this.sendNext();
      }
    });
  }

  /** Events that carry `token` go to `onChange`, until `forget`. */
  expect(token: string, onChange: (changed: string) => void): void {
    this.watchers.set(token, onChange);
  }

  forget(token: string): void {
    this.watchers.delete(token);
  }

  close(): void {
    if (this.over !== null) return;
    this.transport.close();
    this.end(lostError(this.transport.path, 'it was closed here'));
  }

  private send(requestId: number, request: XsRequest): void {
    this.transport.send(encodeXsMessage({ ...request, requestId }));
  }

  /** Those that were given up are not sent; of one that was sent, the answer is awaited all the same. */
  private sendNext(): void {
    while (this.unanswered === 0 && this.unsent.length > 0) {
      const requestId = this.unsent.shift() ?? 0;
      const found = this.pending.get(requestId);
      if (found === undefined) continue;
      this.unanswered = requestId;
      this.send(requestId, found.request);
    }
  }

  private checkRoom(request: XsRequest): void {
    const payloadBytesMax = this.transport.messageBytesMax - HEADER_BYTES;
    if (request.payload.length > payloadBytesMax) {
      throw new XenStoreError(
        'XENSTORE_VALUE_TOO_LONG',
        `xenstore takes ${payloadBytesMax} bytes at a time, and to ${request.verb} ` +
          `${request.path} would take ${request.payload.length}.`,
        'E2BIG',
      );
    }
    if (this.pending.size >= REQUESTS_PENDING_MAX) {
      throw new XenStoreError(
        'XENSTORE_BUSY',
        `${REQUESTS_PENDING_MAX} requests to xenstore wait for their answers already; ` +
          `could not ${request.verb} ${request.path}.`,
        undefined,
        { transient: true },
      );
    }
  }

  private nextRequestId(): number {
    do {
      this.lastRequestId = this.lastRequestId >= REQUEST_ID_MAX ? 1 : this.lastRequestId + 1;
    } while (this.pending.has(this.lastRequestId));
    return this.lastRequestId;
  }

  private received(chunk: Buffer): void {
    if (this.over !== null) return;
    const messages = this.reader.push(chunk);
    if (messages === null) {
      this.transport.close();
      this.lost('it sent a message that is too long');
      return;
    }
    for (const message of messages) this.dispatch(message);
  }

  private dispatch(message: XsMessage): void {
    if (message.type === XS.WATCH_EVENT) {
      const [path, token] = decodeStrings(message.payload);
      this.watchers.get(token)?.(path);
      return;
    }
    if (message.requestId === this.unanswered) {
      this.unanswered = 0;
      this.sendNext();
    }
    const found = this.pending.get(message.requestId);
    // The answer to a request that was given up.
    if (found === undefined) return;
    this.pending.delete(message.requestId);
    clearTimeout(found.timer);
    if (message.type === XS.ERROR) {
      found.reject(refused(found.request, decodeStrings(message.payload)[0] ?? ''));
    } else found.resolve(message.payload);
  }

  private lost(reason: string): void {
    const error = lostError(this.transport.path, reason);
    if (this.end(error)) this.onLost(error);
  }

  private end(error: XenStoreError): boolean {
    if (this.over !== null) return false;
    this.over = error;
    this.watchers.clear();
    this.unsent.length = 0;
    const waiting = [...this.pending.values()];
    this.pending.clear();
    for (const { timer, reject } of waiting) {
      clearTimeout(timer);
      reject(error);
    }
    return true;
  }
}

/** xenstored's names of errors (xs_wire.h, xsd_errors), for people. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ENOENT: 'there is no such node',
  ENOSPC: 'a quota of xenstore is used up',
  EQUOTA: 'a quota of xenstore is used up',
  E2BIG: 'it is too long',
  EINVAL: 'it is malformed',
  EROFS: 'xenstore is read-only',
};

function refused({ verb, path }: XsRequest, errno: string): XenStoreError {
  const name = /^E[A-Z0-9]+$/.test(errno) ? errno : 'EIO';
  const reason = REASONS[name];
  return new XenStoreError(
    'XENSTORE_REFUSED',
    `xenstore refuses to ${verb} ${path} (${reason === undefined ? name : `${name}: ${reason}`}).`,
    name,
    { transient: name === 'EAGAIN' || name === 'EBUSY' },
  );
}

function timedOut({ verb, path }: XsRequest, timeoutMs: number): XenStoreError {
  return new XenStoreError(
    'XENSTORE_TIMEOUT',
    `xenstored did not answer within ${timeoutMs} ms when asked to ${verb} ${path}; is it stuck?`,
    'ETIMEDOUT',
    { transient: true },
  );
}

function lostError(path: string, reason: string): XenStoreError {
  return new XenStoreError(
    'XENSTORE_LOST',
    `The connection to xenstore at ${path} is gone (${reason}).`,
    'EPIPE',
    { transient: true },
  );
}
