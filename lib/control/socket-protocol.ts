/** The control socket's language: one JSON object a line, versioned, checked on both sides. */
import { z } from 'zod/v3';
import { TapdiskError } from '../errors';
import { integer } from '../integer';

/** Rises when a field changes its meaning; additions keep it. */
export const SOCKET_PROTOCOL_VERSION = 1;

const cookie = integer.min(0).max(0xffff);
const none = z.strictObject({});
const oneDisk = z.strictObject({ cookie });
const empty = z.object({});

const diskStatus = z.object({
  cookie,
  pid: integer,
  volume: z.string(),
  device: z.string().nullable(),
  domid: integer.nullable(),
  state: z.enum(['standby', 'opened', 'running', 'paused', 'stalled', 'lost', 'stopped']),
  reason: z.string().nullable(),
  progress: z.object({ waitedMs: z.number(), totalMs: z.number() }).nullish(),
  readOnly: z.boolean(),
  recording: z.string().nullable(),
});

const newSize = z.union([
  z.strictObject({ toBytes: integer.min(0) }),
  z.strictObject({ byBytes: integer.min(0) }),
]);

const failure = z.object({ cookie, code: z.string(), message: z.string() });

/** What may be asked, with the shapes of `params` and `result`. */
export const SOCKET_METHODS = {
  list: { params: none, result: z.object({ disks: z.array(diskStatus) }) },
  /** Requests that failed on the pipes, newest last. */
  failures: { params: none, result: z.object({ failures: z.array(failure) }) },
  statistics: { params: oneDisk, result: z.record(z.string(), z.unknown()) },
  pause: { params: oneDisk, result: empty },
  resume: { params: oneDisk, result: empty },
  detach: { params: oneDisk, result: empty },
  handOver: {
    params: z.strictObject({ cookie, to: z.string().optional() }),
    result: z.object({ to: z.string(), blackoutMs: z.number() }),
  },
  resize: {
    params: z.strictObject({ cookie, size: newSize }),
    result: z.object({ beforeBytes: integer, sizeBytes: integer, guestTold: z.boolean() }),
  },
  startRecording: {
    params: z.strictObject({
      cookie,
      /** Absolute: the process's working directory is not the caller's. */
      path: z.string().startsWith('/'),
      payload: z.enum(['hash', 'full']),
    }),
    result: empty,
  },
  stopRecording: {
    params: oneDisk,
    result: z.object({
      path: z.string(),
      requests: integer,
      endReason: z.enum(['stopped', 'overloaded', 'write-error']),
    }),
  },
} as const;

export type SocketMethod = keyof typeof SOCKET_METHODS;
export type SocketParams<M extends SocketMethod> = z.infer<(typeof SOCKET_METHODS)[M]['params']>;
export type SocketResult<M extends SocketMethod> = z.infer<(typeof SOCKET_METHODS)[M]['result']>;

/** A checked request. */
export type SocketRequest = {
  [M in SocketMethod]: {
    readonly id: number;
    readonly method: M;
    readonly params: SocketParams<M>;
  };
}[SocketMethod];

const requestEnvelope = z.object({
  version: z.number(),
  id: integer,
  method: z.string(),
  params: z.unknown(),
});

const responseEnvelope = z.object({
  version: z.number(),
  id: integer.nullable(),
  result: z.unknown().optional(),
  error: z
    .object({ code: z.string(), message: z.string(), transient: z.boolean().optional() })
    .optional(),
});

/** One request as its line, newline included. */
export function requestLine<M extends SocketMethod>(
  id: number,
  method: M,
  params: SocketParams<M>,
): string {
  return `${JSON.stringify({ version: SOCKET_PROTOCOL_VERSION, id, method, params })}\n`;
}

/** @throws TapdiskError CONTROL_BAD_REQUEST, CONTROL_VERSION_UNKNOWN */
export function parseRequest(line: string): SocketRequest {
  const envelope = requestEnvelope.safeParse(parseJson(line));
  if (!envelope.success) throw badRequest(firstIssue(envelope.error));
  const { version, id, method, params } = envelope.data;
  if (version !== SOCKET_PROTOCOL_VERSION) throw unknownVersion(version);
  if (!isMethod(method)) throw badRequest(`there is no method ${JSON.stringify(method)}`);
  const checked = SOCKET_METHODS[method].params.safeParse(params);
  if (!checked.success) throw badRequest(`${method}: ${firstIssue(checked.error)}`);
  return { id, method, params: checked.data } as SocketRequest;
}

/** The id of a request whose rest may be anything, or null. */
export function requestIdOf(line: string): number | null {
  const id = (parseJson(line) as { id?: unknown } | null)?.id;
  return Number.isSafeInteger(id) ? (id as number) : null;
}

/** A good answer as its line. */
export function resultLine(id: number, result: object): string {
  return `${JSON.stringify({ version: SOCKET_PROTOCOL_VERSION, id, result })}\n`;
}

/** A refusal as its line; `id` is null where the request had none to read. */
export function errorLine(id: number | null, error: unknown): string {
  const known = error instanceof TapdiskError;
  const told = {
    code: known ? error.code : 'INTERNAL',
    message: error instanceof Error ? error.message : String(error),
    transient: known && error.transient,
  };
  return `${JSON.stringify({ version: SOCKET_PROTOCOL_VERSION, id, error: told })}\n`;
}

/**
 * Reads the answer to request `id` of `method`. A refusal is thrown as the TapdiskError that it
 * was on the other side.
 * @throws TapdiskError CONTROL_BAD_ANSWER, CONTROL_VERSION_UNKNOWN
 */
export function parseResponse<M extends SocketMethod>(
  line: string,
  id: number,
  method: M,
): SocketResult<M> {
  const envelope = responseEnvelope.safeParse(parseJson(line));
  if (!envelope.success) throw badAnswer(firstIssue(envelope.error));
  const { version, error, result } = envelope.data;
  if (version !== SOCKET_PROTOCOL_VERSION) throw unknownVersion(version);
  if (error !== undefined) {
    throw new TapdiskError(error.code, error.message, { transient: error.transient === true });
  }
  if (envelope.data.id !== id) throw badAnswer(`it answers request ${envelope.data.id}`);
  const checked = SOCKET_METHODS[method].result.safeParse(result);
  if (!checked.success) throw badAnswer(`${method}: ${firstIssue(checked.error)}`);
  return checked.data;
}

function isMethod(name: string): name is SocketMethod {
  return Object.hasOwn(SOCKET_METHODS, name);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  const where = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return where + issue.message;
}

function badRequest(why: string): TapdiskError {
  return new TapdiskError(
    'CONTROL_BAD_REQUEST',
    `The control socket does not understand the request: ${why}.`,
  );
}

function badAnswer(why: string): TapdiskError {
  return new TapdiskError(
    'CONTROL_BAD_ANSWER',
    `The tapdisk process gave an answer that this program does not understand: ${why}.`,
  );
}

function unknownVersion(version: number): TapdiskError {
  return new TapdiskError(
    'CONTROL_VERSION_UNKNOWN',
    `The control socket's other side speaks version ${version}, this one ` +
      `${SOCKET_PROTOCOL_VERSION}; use the tapdisk-ts that started the process.`,
  );
}
