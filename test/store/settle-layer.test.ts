/** What an earlier process left under way is ended, as far as the file system lets us. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { preallocate } from '../../native-bindings/posix';
import { SystemCallError } from '../../native-bindings/system-call-error';
import { extentPath } from '../../lib/store/dir/extent-path';
import { settleLayerFiles } from '../../lib/store/dir/settle-layer';
import { fastBase, storeDirectories } from './store-directory';

jest.mock('../../native-bindings/posix', () => ({ preallocate: jest.fn() }));

const newDirectory = storeDirectories(fastBase());
const LAYER = 1;
const { EOPNOTSUPP, ENOSPC, EIO } = constants.errno;

function directoryWithExtent(): string {
  const directory = newDirectory();
  const path = extentPath(directory, LAYER, 0);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'chunk');
  return directory;
}

test.each([
  ['has no fallocate', EOPNOTSUPP],
  ['is full', ENOSPC],
])('a file system that %s is synced all the same', async (_, errno) => {
  jest.mocked(preallocate).mockImplementationOnce(() => {
    throw new SystemCallError('fallocate', errno);
  });
  await settleLayerFiles(directoryWithExtent(), LAYER);
  expect(preallocate).toHaveBeenCalled();
});

test('any other failure is told: what was written may not be on the disk', async () => {
  jest.mocked(preallocate).mockImplementationOnce(() => {
    throw new SystemCallError('fallocate', EIO);
  });
  await expect(settleLayerFiles(directoryWithExtent(), LAYER)).rejects.toMatchObject({
    code: 'EIO',
  });
});
