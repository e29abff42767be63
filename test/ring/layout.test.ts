import { TapdiskError } from '../../lib/errors';
import {
  ABI_BLKTAP2,
  ABI_NATIVE,
  ABI_X86_32,
  initialiseSharedRing,
  ringEntries,
} from '../../lib/ring';
import { ABIS } from './ring-memory';

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return null;
}

test.each([
  [1, 32],
  [2, 64],
  [4, 128],
  [8, 256],
  [16, 512],
])('a ring of %i pages has %i entries in every ABI', (pages, entries) => {
  for (const abi of ABIS) expect(ringEntries(abi, pages)).toBe(entries);
});

test.each([0, -1, 3, 5, 17, 32, 1.5, NaN, 2 ** 32 + 1, 2 ** 32])(
  'a ring of %d pages is refused',
  (pages) => {
    const refuse = (): number => ringEntries(ABI_NATIVE, pages);
    expect(refuse).toThrow(TapdiskError);
    expect(refuse).toThrow(`a ring of ${pages} pages is not possible: use 1, 2, 4, 8 or 16 pages`);
    expect(thrownBy(refuse)).toMatchObject({ code: 'RING_PAGES' });
  },
);

test('entries are as large as the ABI makes the largest request', () => {
  expect(ABI_NATIVE.entryBytes).toBe(112);
  expect(ABI_X86_32.entryBytes).toBe(108);
  expect(ABI_BLKTAP2.entryBytes).toBe(112);
});

test('a fresh header has both events at 1 and all else 0, and the entries are left alone', () => {
  const bytes = Buffer.alloc(4096, 0xff);
  initialiseSharedRing(bytes);
  const header = '00000000' + '01000000' + '00000000' + '01000000' + '00'.repeat(48);
  expect(bytes.toString('hex', 0, 64)).toBe(header);
  expect(bytes.subarray(64).every((byte) => byte === 0xff)).toBe(true);
});
