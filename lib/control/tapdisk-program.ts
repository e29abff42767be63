/** Where the tapdisk program is that `attach` and the daemon start. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TapdiskError } from '../errors';

/** Another program to start; it must keep bin/tapdisk's contract. */
export const PROGRAM_VARIABLE = 'TAPDISK_TS_PROGRAM';

/**
 * Looks upwards from `here`: the compiled code lies one folder deeper than its source.
 * @throws TapdiskError TAPDISK_PROGRAM_NOT_FOUND
 */
export function tapdiskProgram(
  env: Readonly<Record<string, string | undefined>>,
  here: string = __dirname,
): string {
  const override = env[PROGRAM_VARIABLE];
  if (override) return override;
  for (let folder = here; folder !== dirname(folder); folder = dirname(folder)) {
    const program = join(folder, 'bin', 'tapdisk');
    if (existsSync(join(folder, 'package.json')) && existsSync(program)) return program;
  }
  throw new TapdiskError(
    'TAPDISK_PROGRAM_NOT_FOUND',
    `The program bin/tapdisk is missing from this installation; set ${PROGRAM_VARIABLE} to it.`,
  );
}
