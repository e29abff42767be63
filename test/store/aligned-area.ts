/** Page-aligned memory, as a ring's pages are: a mapped file. */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { mapShared, type Mapping } from '../../native-bindings/mapping';

export function alignedArea(directory: string, lengthBytes: number): Mapping {
  const fd = openSync(join(directory, 'memory'), 'w+');
  try {
    ftruncateSync(fd, lengthBytes);
    return mapShared(fd, lengthBytes);
  } finally {
    closeSync(fd);
  }
}
