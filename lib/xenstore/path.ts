/** Which paths xenstore takes: checked here, so that a refusal names the path and the reason. */
import { ABSOLUTE_PATH_BYTES_MAX, RELATIVE_PATH_BYTES_MAX } from './limits';
import { XenStoreError } from './xenstore-error';

/** docs/misc/xenstore.txt: ASCII letters, digits and - / _ @; implementations also take the colon. */
const NODE_PATH = /^[A-Za-z0-9\-/_@:]+$/;

/** @throws XenStoreError XENSTORE_PATH_REFUSED */
export function checkPath(path: string): void {
  const bytesMax = path.startsWith('/') ? ABSOLUTE_PATH_BYTES_MAX : RELATIVE_PATH_BYTES_MAX;
  if (path.length > bytesMax) throw refused(path, `it is longer than ${bytesMax} bytes`);
  if (!NODE_PATH.test(path)) throw refused(path, 'it is empty or has a character not allowed');
  if (path !== '/' && (path.endsWith('/') || path.includes('//'))) {
    throw refused(path, 'it has an empty name');
  }
}

const SHOWN_CHARACTERS_MAX = 120;

function refused(path: string, why: string): XenStoreError {
  return new XenStoreError(
    'XENSTORE_PATH_REFUSED',
    `${JSON.stringify(path.slice(0, SHOWN_CHARACTERS_MAX))} is no path of xenstore: ${why}.`,
    'EINVAL',
  );
}
