/** Remembers why pipe requests failed: IMG_FAIL has no room for a reason, the control socket has. */
import { sentenceOf } from '../errors';
import { FAILURES_KEPT_MAX } from './limits';

export interface Failure {
  readonly cookie: number;
  readonly code: string;
  readonly message: string;
}

export class Failures {
  private readonly kept: Failure[] = [];

  record(cookie: number, error: unknown): Failure {
    const code = (error as { code?: unknown } | null)?.code;
    const failure = {
      cookie,
      code: typeof code === 'string' ? code : 'INTERNAL',
      message: sentenceOf(error),
    };
    this.kept.push(failure);
    if (this.kept.length > FAILURES_KEPT_MAX) this.kept.shift();
    return failure;
  }

  /** Newest last; at most 16. */
  list(): readonly Failure[] {
    return this.kept;
  }
}
