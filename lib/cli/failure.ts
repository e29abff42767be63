/** How a failure ends a command: one sentence on standard error, and an exit code with a meaning. */
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import type { CommandIo } from './io';
import { printable } from './printable';

export const EXIT_OK = 0;
/** Refused or failed, for the reason that the sentence gives. */
export const EXIT_REFUSED = 1;
/** The command line itself was wrong; nothing was done. */
export const EXIT_USAGE = 2;
export const EXIT_NOT_FOUND = 3;
export const EXIT_EXISTS = 4;
/** In use by somebody else; may succeed later. */
export const EXIT_BUSY = 5;
/** The process that served the disk is gone; what was under way may be done or not. */
export const EXIT_BACK_END_GONE = 6;
export const EXIT_NO_SPACE = 7;
/** Something on disk or in a trace is damaged or of an unknown version. */
export const EXIT_CORRUPT = 8;
/** A fault of this program (sysexits.h EX_SOFTWARE). */
export const EXIT_UNEXPECTED = 70;

/** Endings of error codes that have an exit code of their own; all others are EXIT_REFUSED. */
const EXIT_BY_ENDING: readonly (readonly [ending: string, exitCode: number])[] = [
  ['_INVALID', EXIT_USAGE],
  ['_NOT_FOUND', EXIT_NOT_FOUND],
  ['_EXISTS', EXIT_EXISTS],
  ['_ATTACHED', EXIT_BUSY],
  ['_BUSY', EXIT_BUSY],
  ['NO_SPACE', EXIT_NO_SPACE],
  ['_CORRUPT', EXIT_CORRUPT],
  ['_TRUNCATED', EXIT_CORRUPT],
  ['_VERSION_UNKNOWN', EXIT_CORRUPT],
];

/** The command line was wrong: yargs' own complaints, and values that do not parse. */
export class UsageError extends Error {
  readonly code = 'USAGE';
}

/** System calls' refusals that a user can do something about; anything else is a fault of ours. */
const ERRNO_SENTENCES: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EMFILE: 'too many open files; raise the limit with ulimit -n',
  ENOENT: 'no such file or directory',
};

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
}

/** Writes the sentence (under --json an object) to standard error; returns the exit code. */
export function reportFailure(error: unknown, json: boolean, io: CommandIo): number {
  const { code, message, exitCode } = describeFailure(error);
  if (json) io.err(`${JSON.stringify({ error: { code, message } })}\n`);
  else io.err(`tapdisk-ts: ${printable(message)}\n`);
  if (io.env.TAPDISK_TS_DEBUG === '1' && error instanceof Error) io.err(`${error.stack}\n`);
  return exitCode;
}

function describeFailure(error: unknown): Failure {
  const message = sentenceOf(error);
  if (error instanceof UsageError) return { code: error.code, message, exitCode: EXIT_USAGE };
  if (error instanceof TapdiskError) {
    return { code: error.code, message, exitCode: exitCodeOf(error.code) };
  }
  const errno = errnoOf(error);
  if (errno !== undefined && errno in ERRNO_SENTENCES) return describeErrno(error, errno);
  return {
    code: 'UNEXPECTED',
    message: `unexpected failure: ${message}; TAPDISK_TS_DEBUG=1 shows where`,
    exitCode: EXIT_UNEXPECTED,
  };
}

function describeErrno(error: unknown, errno: string): Failure {
  const path = (error as NodeJS.ErrnoException).path;
  const where = path === undefined ? '' : `${path}: `;
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  return {
    code: errno,
    message: where + ERRNO_SENTENCES[errno],
    exitCode: full ? EXIT_NO_SPACE : EXIT_REFUSED,
  };
}

/** The exit code of an error code. */
export function exitCodeOf(code: string): number {
  for (const [ending, exitCode] of EXIT_BY_ENDING) if (code.endsWith(ending)) return exitCode;
  return EXIT_REFUSED;
}
