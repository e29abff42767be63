/** What a call is refused with. */
import { TapdiskError } from '../../lib/errors';

/** Code and sentence of the TapdiskError that the call throws; fails if it throws none. */
export function refusal(call: () => unknown): { code: string; message: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof TapdiskError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was refused');
}
