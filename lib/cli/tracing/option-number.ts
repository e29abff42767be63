/** Numbers on the command line, refused with one sentence where they make no sense. */
import { UsageError } from '../failure';

/** Checks a whole number of an option; `undefined` stays so. */
export function wholeNumber(
  option: string,
  value: number | undefined,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) {
    return value;
  }
  const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
  throw new UsageError(`--${option} must be a whole number from ${min}${upTo}`);
}

/** Seeds have 32 bits. */
export const SEED_MAX = 0xffffffff;
