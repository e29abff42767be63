/** The error of a failed system call, shaped like the errors of Node's own fs. */
import { getSystemErrorMap } from 'node:util';

/** A system call that failed; `code` is the errno's name, as Node has it ("ENOENT"). */
export class SystemCallError extends Error {
  /** Name of the errno, "EUNKNOWN" where the C library has none for it. */
  readonly code: string;

  constructor(
    readonly syscall: string,
    /** Positive. */
    readonly errno: number,
    /** The path that the call was about, where it was about one. */
    readonly path?: string,
  ) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? ['EUNKNOWN', `errno ${errno}`];
    super(`${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${path}'`}`);
    this.name = 'SystemCallError';
    this.code = code;
  }
}
