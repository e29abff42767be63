/**
 * The project's one error class: a code that programs test, and one sentence for a person.
 *
 * Every refusal is listed in docs/errors.md by its code.
 */

/** A refusal or failure with a stable code. The message says what, where, and what to do. */
export class TapdiskError extends Error {
  /** True where the same call may succeed later without anything being mended. */
  readonly transient: boolean;

  constructor(
    readonly code: string,
    message: string,
    options: { cause?: unknown; transient?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'TapdiskError';
    this.transient = options.transient ?? false;
  }
}

/** The errno name ("ENOENT") of a system call's error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** The one sentence of any thrown thing. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
