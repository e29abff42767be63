import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStoreOfKind } from '../../lib/pool/store-kinds';

const VARIABLE = 'TAPDISK_TS_DIRECT';
const OPTIONS = { chunkBytes: 64 * 1024, readOnly: false };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-store-kinds-'));
});
afterEach(() => {
  delete process.env[VARIABLE];
  rmSync(directory, { recursive: true, force: true });
});

async function isDirect(direct?: boolean): Promise<unknown> {
  const store = openStoreOfKind('dir', directory, {
    ...OPTIONS,
    ...(direct !== undefined && { direct }),
  });
  const { direct: found } = store.describe();
  await store.close();
  return found;
}

describe('TAPDISK_TS_DIRECT', () => {
  it.each(['', 'on'])('%p asks for direct transfers', async (setting) => {
    process.env[VARIABLE] = setting;
    expect(await isDirect()).toBe(true);
  });

  it('off asks for buffered ones', async () => {
    process.env[VARIABLE] = 'off';
    expect(await isDirect()).toBe(false);
  });

  it('says nothing where the caller has chosen', async () => {
    process.env[VARIABLE] = 'off';
    expect(await isDirect(true)).toBe(true);
  });

  it('is refused with DIRECT_UNKNOWN where it is neither', async () => {
    process.env[VARIABLE] = 'no';
    await expect(isDirect()).rejects.toMatchObject({
      code: 'DIRECT_UNKNOWN',
      message: 'TAPDISK_TS_DIRECT is "no", which means nothing; set it to on or off',
    });
  });
});
