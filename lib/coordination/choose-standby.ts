/** Which of those that stand by a volume is handed to. */
import { TapdiskError } from '../errors';

/**
 * The one of that name, or the only one.
 *
 * @throws TapdiskError STANDBY_NOT_FOUND, STANDBY_AMBIGUOUS
 */
export function chooseStandby<Known extends { readonly name: string }>(
  standbys: readonly Known[],
  to: string | undefined,
  volume: string,
): Known {
  const named = to === undefined ? standbys : standbys.filter(({ name }) => name === to);
  if (named.length === 1) return named[0];
  const ready = standbys.map(({ name }) => name).join(', ');
  if (named.length > 1) {
    throw new TapdiskError(
      'STANDBY_AMBIGUOUS',
      `several processes stand by for volume "${volume}" (${ready}); say which by its HOST:PID`,
    );
  }
  const who = to === undefined ? 'no process stands' : `${to} does not stand`;
  const others = ready === '' ? '' : ` (these do: ${ready})`;
  throw new TapdiskError(
    'STANDBY_NOT_FOUND',
    `${who} by for volume "${volume}"${others}; start attach --wait where it shall go`,
  );
}
