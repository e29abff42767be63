/** The refusal of a pool that is another one than its name stands for. */
import { TapdiskError } from '../errors';

interface Known {
  readonly uuid: string;
  readonly store: string;
}

/** `place`: a directory, or the prefix of a cluster. */
export function mismatch(name: string, place: string, found: Known, wanted: Known): TapdiskError {
  return new TapdiskError(
    'POOL_MISMATCH',
    `${place} holds another pool (${found.store}, ${found.uuid}) than "${name}" was ` +
      `created with (${wanted.store}, ${wanted.uuid}); is the right disk mounted?`,
  );
}
