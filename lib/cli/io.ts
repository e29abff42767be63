/** The command line's way to the outside: two streams, a terminal, the environment. */
import { createInterface } from 'node:readline/promises';

export interface CommandIo {
  /** Writes to standard output; the text carries its own line ends. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Asks a person; only where `isInteractive`. Resolves to the answer without its line end. */
  ask(question: string): Promise<string>;
  /** True where a person sits at both ends: standard input and standard error are terminals. */
  readonly isInteractive: boolean;
  /** Where a progress bar may be drawn: standard error where it is a terminal, else null. */
  readonly progressStream: NodeJS.WritableStream | null;
  /** Width of the output in characters. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const COLUMNS_DEFAULT = 80;
/** Long lines are hard to read: help is not spread wider than this. */
const COLUMNS_MAX = 110;

/** The process's own streams. A reader that went away (`| head`) ends the process quietly. */
export function processIo(): CommandIo {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    ask: askTerminal,
    isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    progressStream: process.stderr.isTTY === true ? process.stderr : null,
    columns: Math.min(process.stdout.columns ?? COLUMNS_DEFAULT, COLUMNS_MAX),
    env: process.env,
  };
}

async function askTerminal(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}
