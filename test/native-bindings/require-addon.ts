/** The addon, for tests that have nothing to try without it. */
import { addon, addonAbsence, type Addon } from '../../native-bindings/addon';

/** Fails the test where the addon is not built. */
export function requireAddon(): Addon {
  const found = addon();
  if (found === null) throw new Error(`the native addon is not there: ${addonAbsence()}`);
  return found;
}
