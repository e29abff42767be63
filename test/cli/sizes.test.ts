import fc from 'fast-check';
import { formatSize, parseSize } from '../../lib/cli/sizes';

const codeOf = (text: string): unknown => {
  try {
    return parseSize(text);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

it.each([
  ['2097152', 2097152],
  ['0', 0],
  ['512', 512],
  ['512B', 512],
  ['4k', 4096],
  ['4K', 4096],
  ['4KiB', 4096],
  ['512M', 512 * 2 ** 20],
  ['10G', 10 * 2 ** 30],
  ['10 GiB', 10 * 2 ** 30],
  ['1.5T', 1.5 * 2 ** 40],
  ['8TiB', 8 * 2 ** 40],
  ['0.5k', 512],
  ['1.25g', 1.25 * 2 ** 30],
  ['7.5P', 7.5 * 2 ** 50],
  ['9007199254740991', 2 ** 53 - 1],
  [' 1G ', 2 ** 30],
])('%j is %d bytes', (text, bytes) => {
  expect(codeOf(text)).toBe(bytes);
});

it.each([
  ['', 'SIZE_INVALID'],
  ['G', 'SIZE_INVALID'],
  ['-1G', 'SIZE_INVALID'],
  ['+1G', 'SIZE_INVALID'],
  ['1e9', 'SIZE_INVALID'],
  ['0x10', 'SIZE_INVALID'],
  ['1,5G', 'SIZE_INVALID'],
  ['1.G', 'SIZE_INVALID'],
  ['.5G', 'SIZE_INVALID'],
  ['10X', 'SIZE_INVALID'],
  ['10iB', 'SIZE_INVALID'],
  ['10 G B', 'SIZE_INVALID'],
  ['Infinity', 'SIZE_INVALID'],
  ['10GB', 'SIZE_INVALID'],
  ['1.1G', 'SIZE_INVALID'],
  ['0.3', 'SIZE_INVALID'],
  ['9007199254740992', 'SIZE_TOO_LARGE'],
  ['8P', 'SIZE_TOO_LARGE'],
  ['16E', 'SIZE_TOO_LARGE'],
  ['99999999999999999999999999999', 'SIZE_TOO_LARGE'],
])('%j is refused with %s', (text, code) => {
  expect(codeOf(text)).toBe(code);
});

it('says why a size is refused, and how to write one', () => {
  expect(() => parseSize('10GB')).toThrow('could mean powers of 1000 or of 1024');
  expect(() => parseSize('1.1G')).toThrow('is not a whole number of bytes');
  expect(() => parseSize('x')).toThrow('write it like 2097152, 512M, 10G, 1.5T or 8TiB');
});

it('reads every whole number of units exactly', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.constantFrom('', 'K', 'M', 'G', 'T'), (count, unit) => {
      const exact = BigInt(count) << BigInt(10 * ['', 'K', 'M', 'G', 'T'].indexOf(unit));
      const expected = exact > Number.MAX_SAFE_INTEGER ? 'SIZE_TOO_LARGE' : Number(exact);
      expect(codeOf(`${count}${unit}`)).toBe(expected);
    }),
  );
});

it.each([
  [0, '0 B'],
  [512, '512 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [64 * 1024, '64 KiB'],
  [4 * 2 ** 20, '4 MiB'],
  [10 * 2 ** 30, '10 GiB'],
  [1.5 * 2 ** 40, '1.5 TiB'],
  [1500 * 2 ** 30, '1.46 TiB'],
  [1023.7 * 2 ** 20, '1 GiB'],
  [2 ** 53 - 512, '8 PiB'],
])('%d bytes are shown as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
