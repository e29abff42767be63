/** Starts a tapdisk as blktapctrl does: two FIFO paths, and the launched process exits 0 at once. */
import { spawn } from 'node:child_process';
import { sentenceOf, TapdiskError } from '../errors';
import { DAEMON_VARIABLE } from './daemonise';
import { SPAWN_STDERR_BYTES_MAX, SPAWN_TIMEOUT_MS } from './limits';

export interface ProviderOptions {
  /** The program, found through $PATH if it has no slash. */
  readonly program: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the tapdisk reads and writes. */
  readonly readFifo: string;
  readonly writeFifo: string;
  readonly timeoutMs?: number;
}

/** @throws TapdiskError TAPDISK_SPAWN_FAILED with what the program said on stderr */
export async function spawnProvider(options: ProviderOptions): Promise<void> {
  const { program, readFifo, writeFifo } = options;
  const child = spawn(program, [readFifo, writeFifo], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, [DAEMON_VARIABLE]: 'fork', ...options.env },
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said = (said + text).slice(0, SPAWN_STDERR_BYTES_MAX);
  });
  const outcome = await new Promise<string>((resolve) => {
    const timeoutMs = options.timeoutMs ?? SPAWN_TIMEOUT_MS;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(`did not go to the background within ${timeoutMs} ms`);
    }, timeoutMs);
    const ended = (how: string): void => {
      clearTimeout(timer);
      resolve(how);
    };
    child.once('error', (error) => ended(`cannot be started (${sentenceOf(error)})`));
    child.once('exit', (code, signal) => {
      // A daemon that kept stderr must not keep us; what was said before the exit is read already.
      setImmediate(() => ended(code === 0 ? '' : `ended with ${signal ?? `exit code ${code}`}`));
    });
  });
  child.stderr.destroy();
  if (outcome === '') return;
  const detail = said.trim() === '' ? '' : `: ${said.trim().replace(/\s*\n\s*/g, '; ')}`;
  throw new TapdiskError('TAPDISK_SPAWN_FAILED', `${program} ${outcome}${detail}.`);
}
