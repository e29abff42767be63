/** Turns what gRPC and etcd say of a failed call into this project's errors. */
import { status } from '@grpc/grpc-js';
import { sentenceOf, TapdiskError } from '../errors';

interface GrpcError {
  readonly code: status;
  readonly details: string;
}

/** A failure that nobody but this program knows of, in gRPC's shape. */
export function connectFailure(reason: string): Error & GrpcError {
  return Object.assign(new Error(reason), { code: status.UNAVAILABLE, details: reason });
}

function grpcErrorOf(error: unknown): GrpcError | null {
  const { code, details } = error as { code?: unknown; details?: unknown };
  return typeof code === 'number' && typeof details === 'string'
    ? { code: code as status, details }
    : null;
}

/** Whether etcd asks for another token: its own was lost in a restart, or is too old. */
export function isTokenStale(error: unknown): boolean {
  const details = grpcErrorOf(error)?.details ?? '';
  return /invalid auth token|revision (of|in) (auth store|header) is old/.test(details);
}

/** Whether users need not log in to this cluster. */
export function isLoginOff(error: unknown): boolean {
  return /authentication is not enabled/.test(grpcErrorOf(error)?.details ?? '');
}

/** Whether the reply did not fit, which a smaller page may. */
export function isReplyTooLarge(error: unknown): boolean {
  return error instanceof TapdiskError && error.code === 'ETCD_TOO_LARGE';
}

/** Whether the connection itself failed: etcd's own words begin with its name. */
function isConnectionFailure({ code, details }: GrpcError): boolean {
  return code === status.UNAVAILABLE && !details.startsWith('etcdserver:');
}

/** What a failure says of the member that the call went to. */
export type Blame = 'nothing' | 'member' | 'connection' | 'certificate';

export interface CallFailure {
  readonly error: TapdiskError;
  readonly blame: Blame;
}

/** Words of OpenSSL and Node that tell of certificates and protocols, not of the network. */
const TLS_WORDS =
  /certificate|CERT_|altname|self[- ]signed|unable to (get|verify)|\bssl\b|SSL routines|tls|wrong version number|EPROTO|socket disconnected before secure/i;

/** @param endpoint of the member that was asked */
export function callFailure(error: unknown, endpoint: string): CallFailure {
  if (error instanceof TapdiskError) return { error, blame: 'nothing' };
  const grpcError = grpcErrorOf(error);
  if (grpcError === null) {
    // Thrown by gRPC itself before anything was sent: a channel that was closed meanwhile.
    return { error: unavailable(endpoint, sentenceOf(error), error), blame: 'connection' };
  }
  if (isConnectionFailure(grpcError)) return connectionFailure(grpcError, endpoint, error);
  const refusal = refusalOf(grpcError, endpoint, error);
  if (refusal !== null) return { error: refusal, blame: 'nothing' };
  switch (grpcError.code) {
    case status.DEADLINE_EXCEEDED:
      return { error: timedOut(endpoint, null), blame: 'member' };
    case status.UNAVAILABLE:
    case status.CANCELLED:
    case status.UNKNOWN:
    case status.INTERNAL:
    case status.ABORTED:
    case status.RESOURCE_EXHAUSTED:
      return { error: unavailable(endpoint, plain(grpcError.details), error), blame: 'member' };
    default:
      return { error: failed(endpoint, grpcError, error), blame: 'nothing' };
  }
}

/** @param afterMs how long the call lasted, or null where the member itself gave up */
export function timedOut(endpoint: string, afterMs: number | null): TapdiskError {
  const when = afterMs === null ? 'in time' : `within ${Math.round(afterMs)} ms`;
  return new TapdiskError(
    'ETCD_TIMEOUT',
    `etcd at ${endpoint} did not answer ${when}; check that member, its disk and the network`,
    { transient: true },
  );
}

function unavailable(endpoint: string, reason: string, cause: unknown): TapdiskError {
  return new TapdiskError(
    'ETCD_UNAVAILABLE',
    `etcd at ${endpoint} cannot be used now (${reason}); check that most members run and reach each other`,
    { transient: true, cause },
  );
}

function connectionFailure(grpc: GrpcError, endpoint: string, cause: unknown): CallFailure {
  const reason = reasonOf(grpc.details);
  if (!TLS_WORDS.test(reason)) {
    return { error: unavailable(endpoint, reason, cause), blame: 'connection' };
  }
  const error = new TapdiskError(
    'ETCD_CERTIFICATE_REFUSED',
    `no trusted connection to etcd at ${endpoint} (${reason}); check the pool's TLS files, and that member's certificate`,
    { cause },
  );
  return { error, blame: 'certificate' };
}

/** Answers that will be the same however often one asks. */
function refusalOf(
  { code, details }: GrpcError,
  endpoint: string,
  cause: unknown,
): TapdiskError | null {
  const refuse = (name: string, sentence: string): TapdiskError =>
    new TapdiskError(name, sentence, { cause });
  if (/database space exceeded/.test(details)) {
    return refuse(
      'ETCD_NO_SPACE',
      `the database of etcd at ${endpoint} is full; compact and defragment it, or raise its quota, then disarm the alarm`,
    );
  }
  if (/request is too large|too many operations|larger than max/.test(details)) {
    return refuse(
      'ETCD_TOO_LARGE',
      `a call to etcd at ${endpoint} is larger than it takes (${plain(details)}); do not lower its --max-request-bytes and --max-txn-ops`,
    );
  }
  if (/requested lease not found/.test(details)) {
    return refuse('ETCD_LEASE_NOT_FOUND', `the lease is gone, says etcd at ${endpoint}`);
  }
  if (/has been compacted/.test(details)) {
    return refuse(
      'ETCD_COMPACTED',
      `etcd at ${endpoint} has forgotten the revision that was asked for`,
    );
  }
  const login = /authentication failed|user name is empty|password|user name not found/i;
  if (login.test(details) || code === status.UNAUTHENTICATED) {
    return refuse(
      'ETCD_REFUSED',
      `etcd at ${endpoint} does not let this user in (${plain(details)}); check user and passwordFile in the pool's etcd settings`,
    );
  }
  if (code === status.PERMISSION_DENIED) {
    return refuse(
      'ETCD_REFUSED',
      `etcd at ${endpoint} does not permit this; grant the user's role read and write on the pool's prefix`,
    );
  }
  return null;
}

function failed(endpoint: string, { code, details }: GrpcError, cause: unknown): TapdiskError {
  return new TapdiskError(
    'ETCD_FAILED',
    `etcd at ${endpoint} answers what this program does not expect (${plain(details)}, gRPC status ${code}); is it etcd 3.4 or later?`,
    { cause },
  );
}

/** Of gRPC's "No connection established", the part that tells why. */
function reasonOf(details: string): string {
  const last = /Last error: (?:Error: )?(.*?)(?: \(\d{4}-[^)]*\))?\. Resolution note/s.exec(
    details,
  );
  return plain(last === null ? details : last[1]);
}

/** One line, without etcd's own name, of a length that fits into a sentence. */
function plain(details: string): string {
  const line = details
    .replace(/^etcdserver: /, '')
    .replace(/^Error: /, '')
    .split('\n')[0]
    .trim();
  return line === '' ? 'no reason given' : line.slice(0, 200);
}
