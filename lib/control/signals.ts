/** What signals mean to a serving tapdisk process. */
import { sentenceOf } from '../errors';
import type { Log } from './log';

export interface SignalHandlers {
  /** Disks open now. */
  readonly openDisks: () => number;
  /** Closes every disk in order; has its own deadlines. */
  readonly closeAll: () => Promise<void>;
  /** Ends the process. */
  readonly end: (reason: string) => void;
  readonly log: Log;
}

/**
 * SIGTERM closes everything and ends; a second one meanwhile changes nothing. SIGINT, as in the
 * reference, ends a process that holds no disk and is otherwise ignored: a guest must not lose its
 * disk by a key pressed in a terminal. Returns a function that removes the handlers.
 */
export function handleSignals(handlers: SignalHandlers): () => void {
  let terminating = false;
  const terminate = (): void => {
    if (terminating) return;
    terminating = true;
    handlers
      .closeAll()
      .catch((error: unknown) => handlers.log.error({}, sentenceOf(error)))
      .finally(() => handlers.end('SIGTERM'));
  };
  const interrupt = (): void => {
    const openDisks = handlers.openDisks();
    if (openDisks === 0) handlers.end('SIGINT');
    else handlers.log.warn({ openDisks }, 'SIGINT ignored: disks are open');
  };
  process.on('SIGTERM', terminate);
  process.on('SIGINT', interrupt);
  return () => {
    process.off('SIGTERM', terminate);
    process.off('SIGINT', interrupt);
  };
}
