/** How bin/tapdisk goes to the background: argv's contract, and nothing loaded that takes time. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';

/**
 * Marks the background process ("serve"). A parent that may itself be process 1 sets "fork": the
 * rule of the reference, to stay in the foreground below process 1, does not hold then.
 */
export const DAEMON_VARIABLE = 'TAPDISK_TS_DAEMON';
/** The background process's stdout and stderr are appended to this file; default /dev/null. */
export const LOG_VARIABLE = 'TAPDISK_TS_LOG';

/** The reference's text and its exit(-1). */
const USAGE = 'blktap-utils: v1.0.0\nusage: tapdisk <READ fifo> <WRITE fifo>\n';
const EXIT_USAGE = 255;
const EXIT_NOT_STARTED = 1;

export interface FifoPaths {
  readonly readFifo: string;
  readonly writeFifo: string;
}

/**
 * Called by the launcher with its arguments (node and script removed). Returns the FIFOs in the
 * process that is to serve. In the process that the toolstack waits for it does not return: it
 * starts a detached child of the same script and exits 0, for blktapctrl sits in waitpid() until
 * then. Node has no fork(), hence the second start. As in the reference a process whose parent is
 * process 1 serves itself.
 */
export function daemonise(argv: readonly string[], script: string): FifoPaths {
  if (argv.length !== 2) {
    process.stderr.write(USAGE);
    process.exit(EXIT_USAGE);
  }
  const fifos = { readFifo: path.resolve(argv[0]), writeFifo: path.resolve(argv[1]) };
  const marker = process.env[DAEMON_VARIABLE];
  delete process.env[DAEMON_VARIABLE];
  if (marker === 'serve' || (process.ppid === 1 && marker !== 'fork')) return fifos;
  startBackground(script, fifos);
  process.exit(0);
}

function startBackground(script: string, fifos: FifoPaths): void {
  try {
    const log = openSync(process.env[LOG_VARIABLE] || '/dev/null', 'a', 0o600);
    const arguments_ = [...process.execArgv, script, fifos.readFifo, fifos.writeFifo];
    const child = spawn(process.execPath, arguments_, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      env: { ...process.env, [DAEMON_VARIABLE]: 'serve' },
    });
    closeSync(log);
    if (child.pid === undefined) throw new Error(`${process.execPath} cannot be started`);
    child.unref();
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    process.stderr.write(`tapdisk: the background process does not start: ${sentence}\n`);
    process.exit(EXIT_NOT_STARTED);
  }
}
