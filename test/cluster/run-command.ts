/** Runs a program to its end, with a deadline, without holding up the load that runs beside it. */
import { spawn } from 'node:child_process';
import { untilUndone } from '../bench/left-behind';

export interface Ended {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 60_000;

/** Resolves however it ends. @throws Error where it does not start, or does not end in time. */
export function run(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { env = process.env, deadlineMs = DEADLINE_MS } = options;
  const [program, ...rest] = words;
  const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const forget = untilUndone(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (text: string) => (output[name] += text));
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${words.join(' ')} did not end in ${deadlineMs} ms: ${output.stderr}`));
    }, deadlineMs);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      forget();
      resolve({ code, ...output });
    });
  });
}

/** As `run`; what it printed. @throws Error with its words and its complaint. */
export async function succeed(words: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(words, options);
  if (code === 0) return stdout;
  throw new Error(`${words.join(' ')} ended with ${code}: ${(stderr || stdout).trim()}`);
}
