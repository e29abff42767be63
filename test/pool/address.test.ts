import { parseVolumeAddress } from '../../lib/pool/address';
import { refusal } from './temporary-pool';

const thrownBy = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

it.each([
  ['main/disk1', 'main', 'disk1'],
  ['1/2', '1', '2'],
  ['a+b_c.d-e/F', 'a+b_c.d-e', 'F'],
  [`p/${'x'.repeat(127)}`, 'p', 'x'.repeat(127)],
])('%s is an address', (text, pool, volume) => {
  expect(parseVolumeAddress(text)).toEqual({ pool, volume });
});

it.each(['', 'main', 'a/b/c', 'a//b'])('%j is no address', (text) => {
  expect(thrownBy(() => parseVolumeAddress(text))).toEqual(
    refusal('ADDRESS_INVALID', 'POOL/VOLUME'),
  );
});

it.each([
  ['/b', 'pool name "" is empty'],
  ['a/', 'volume name "" is empty'],
  ['a/b c', 'has a space at position 2'],
  ['a/b@s', 'has "@" (U+0040) at position 2'],
  ['a/ü', 'has "ü" (U+00FC) at position 1'],
  ['a/😀', 'has "😀" (U+1F600) at position 1'],
  ['a/b\x1b[31m', 'has U+001B at position 2'],
  ['a/b\0', 'has U+0000 at position 2'],
  ['a/b\u202e', 'has U+202E at position 2'],
  ['../b', 'begins with "." (U+002E)'],
  ['a/-rf', 'begins with "-" (U+002D)'],
  [`a/${'x'.repeat(128)}`, '128 characters long'],
])('%j has a strange name, and the character is named', (text, words) => {
  const error = thrownBy(() => parseVolumeAddress(text)) as Error;
  expect(error).toEqual(refusal('NAME_INVALID', words));
  // What a user pasted must not steer the terminal either.
  expect(error.message).not.toMatch(/[\x00-\x1f]/);
});
