/** Asks before data is thrown away: on a terminal, where `--yes` was not given. */
import { TapdiskError } from '../errors';
import type { CommandContext } from './command';

/** @throws TapdiskError NOT_CONFIRMED on any answer but y or yes */
export async function confirm(
  { io, output }: CommandContext,
  yes: boolean,
  question: string,
): Promise<void> {
  if (yes || !io.isInteractive || output.json) return;
  const answer = (await io.ask(`${question} [y/N] `)).trim().toLowerCase();
  if (answer === 'y' || answer === 'yes') return;
  throw new TapdiskError('NOT_CONFIRMED', 'nothing was deleted, since it was not confirmed');
}
