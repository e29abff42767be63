/** A word that no log, message or JSON ever shows. */
import { inspect } from 'node:util';

const HIDDEN = '***';

export class Secret {
  readonly #word: string;

  constructor(word: string) {
    this.#word = word;
  }

  /** For the one call that needs it. */
  reveal(): string {
    return this.#word;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
