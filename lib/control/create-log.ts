/** The log of a process: one JSON object a line on stderr, which its launcher redirects. */
import pino from 'pino';
import type { Log } from './log';

/**
 * A pino logger named `program`[pid]; a tapdisk's is the reference's syslog ident. Lines are written at once, since
 * the process may be killed at any instant. TAPDISK_TS_LOG_LEVEL chooses the level (default info).
 */
export function createLog(env: NodeJS.ProcessEnv = process.env, program = 'TAPDISK'): Log {
  const wanted = env['TAPDISK_TS_LOG_LEVEL'] ?? 'info';
  const level = wanted in pino.levels.values || wanted === 'silent' ? wanted : 'info';
  return pino(
    {
      name: `${program}[${process.pid}]`,
      level,
      base: {},
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
