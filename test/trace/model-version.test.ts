/** A disk model of a version that this program does not know. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadModel, saveModel } from '../../lib/trace/model-file';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { withDirectory } from './fixtures';

const VERSION_OFFSET = 8;

test('is refused by its version, and left as it is', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'disk.model');
    const hash = await loadPayloadHash();
    const options = { sectors: 8, seed: 1, expectZero: true, survives: 'flushed' } as const;
    await saveModel(path, new DiskModel({ ...options, hash }), {});
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(2, VERSION_OFFSET);
    writeFileSync(path, bytes);
    await expect(loadModel(path, hash)).rejects.toMatchObject({
      code: 'MODEL_VERSION_UNKNOWN',
      message: expect.stringContaining('format version 2') as string,
    });
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});
