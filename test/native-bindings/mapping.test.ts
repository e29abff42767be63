/** Mappings through the addon. */
import { ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import { mapShared } from '../../native-bindings/mapping';
import * as posix from '../../native-bindings/posix';
import { describeMapping } from './mapping-contract';
import { temporaryDirectory } from './temporary-directory';

const directory = temporaryDirectory();

describe('mappings with the addon', () => describeMapping({}));

test('with the addon the bytes vanish with the mapping, so that a late touch cannot fault', () => {
  const fd = posix.open(join(directory, 'late'), posix.O_CREAT | posix.O_RDWR);
  ftruncateSync(fd, 4096);
  const mapping = mapShared(fd, 4096);
  posix.close(fd);
  const view = mapping.bytes.subarray(100, 200);
  mapping.unmap();
  expect(mapping.bytes.length).toBe(0);
  expect(view[0]).toBeUndefined();
});
