/** Ends a tapdisk process whose disk nobody needs any more, as gently as it lets us. */
import { setTimeout as delay } from 'node:timers/promises';
import { watchProcess } from '../../native-bindings/process-watch';
import type { Log } from '../control/log';
import { callProcess } from '../control/socket-client';
import { errnoOf, sentenceOf } from '../errors';
import { END_BY_ITSELF_MS, END_BY_SIGTERM_MS, END_BY_SOCKET_MS } from './limits';

export interface EndLimits {
  readonly byItselfMs: number;
  readonly bySocketMs: number;
  readonly bySigtermMs: number;
}

const LIMITS: EndLimits = {
  byItselfMs: END_BY_ITSELF_MS,
  bySocketMs: END_BY_SOCKET_MS,
  bySigtermMs: END_BY_SIGTERM_MS,
};

/** Resolves when the process has ended, or `abandoned` is aborted. */
export async function endProcess(
  pid: number,
  socketPath: string,
  log: Log,
  abandoned: AbortSignal,
  limits: EndLimits = LIMITS,
): Promise<void> {
  let hasEnded = false;
  let tell: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (tell = resolve));
  const watch = watchProcess(pid, () => {
    hasEnded = true;
    tell();
  });
  abandoned.addEventListener('abort', tell, { once: true });
  const isOver = (): boolean => hasEnded || abandoned.aborted;
  const within = (timeoutMs: number): Promise<unknown> =>
    Promise.race([ended, delay(timeoutMs, undefined, { ref: false })]);
  try {
    await within(limits.byItselfMs);
    if (isOver()) return;
    log.info({ pid }, 'asks the process to give its disk back');
    detachAll(socketPath).catch((error: unknown) => {
      if (!isOver()) log.warn({ pid }, `it does not: ${sentenceOf(error)}`);
    });
    await within(limits.bySocketMs);
    for (const [signal, timeoutMs] of [
      ['SIGTERM', limits.bySigtermMs],
      ['SIGKILL', limits.bySigtermMs],
    ] as const) {
      if (isOver()) return;
      log.warn({ pid, signal }, 'the process does not end; sends it a signal');
      send(pid, signal);
      await within(timeoutMs);
    }
  } finally {
    watch.stop();
    abandoned.removeEventListener('abort', tell);
  }
}

async function detachAll(socketPath: string): Promise<void> {
  const { disks } = await callProcess(socketPath, 'list', {});
  for (const { cookie } of disks) await callProcess(socketPath, 'detach', { cookie });
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}
