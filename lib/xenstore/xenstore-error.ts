/** The error of everything that xenstore refuses, or that goes wrong on the way to it. */
import { TapdiskError } from '../errors';

export class XenStoreError extends TapdiskError {
  constructor(
    code: string,
    message: string,
    /** The name of xenstored's or the system's errno, such as EACCES; undefined where there is none. */
    readonly errno?: string,
    options: { cause?: unknown; transient?: boolean } = {},
  ) {
    super(code, message, options);
    this.name = 'XenStoreError';
  }
}
