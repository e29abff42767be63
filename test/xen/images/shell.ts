/** Runs a program while an image is built; what it says is shown only where it fails. */
import { spawnSync } from 'node:child_process';

/** Enough for an initramfs or a kernel; above it the program is ended, and that is an error. */
const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;

export interface ShellOptions {
  readonly cwd?: string;
  readonly input?: Buffer;
  readonly env?: Readonly<Record<string, string>>;
}

/** @returns stdout. @throws Error with the words and the end of what the program said */
export function run(words: readonly string[], options: ShellOptions = {}): Buffer {
  const [program, ...rest] = words;
  const ended = spawnSync(program, rest, {
    ...options,
    env: { ...process.env, ...options.env },
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (ended.error) throw ended.error;
  if (ended.status === 0) return ended.stdout;
  const said = Buffer.concat([ended.stdout, ended.stderr]).toString('utf8').trim().slice(-2000);
  throw new Error(`${words.slice(0, 4).join(' ')} … ended with ${ended.status}: ${said}`);
}

export const lines = (output: Buffer): string[] =>
  output.toString('utf8').split('\n').filter(Boolean);
