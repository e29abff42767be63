/** Sizes as people write them (10G, 512M, 8TiB, 1.5T, 4k), in powers of 1024 as qemu-img has them. */
import { TapdiskError } from '../errors';

const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
const UNIT_SHIFT_BITS = 10n;

/** Bytes of a written size; a number without a unit is bytes. Exact, at most 2^53 - 1. */
export function parseSize(text: string): number {
  const match = /^(\d{1,30})(?:\.(\d{1,30}))?\s*([kmgtpe]?)(i?b)?$/i.exec(text.trim());
  if (match === null) throw sizeInvalid(text, 'is not a size');
  const [, whole, fraction = '', letter, tail = ''] = match;
  if (tail.length === 1 && letter !== '') {
    throw sizeInvalid(text, `could mean powers of 1000 or of 1024`);
  }
  if (tail.length === 2 && letter === '') throw sizeInvalid(text, 'is not a size');
  const unit = 1n << (UNIT_SHIFT_BITS * BigInt(UNITS.indexOf(letter.toUpperCase())));
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * unit;
  if (scaled % scale !== 0n) throw sizeInvalid(text, 'is not a whole number of bytes');
  const bytes = scaled / scale;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new TapdiskError(
      'SIZE_TOO_LARGE',
      `size "${text}" is beyond the largest size, 8 PiB less one byte; give a smaller one`,
    );
  }
  return Number(bytes);
}

/** A size, or `+SIZE` for what shall be added. */
export function parseNewSize(text: string): { toBytes: number } | { byBytes: number } {
  const trimmed = text.trim();
  if (!trimmed.startsWith('+')) return { toBytes: parseSize(trimmed) };
  return { byBytes: parseSize(trimmed.slice(1)) };
}

function sizeInvalid(text: string, why: string): TapdiskError {
  return new TapdiskError(
    'SIZE_INVALID',
    `size "${text}" ${why}; write it like 2097152, 512M, 10G, 1.5T or 8TiB (powers of 1024)`,
  );
}

/** A size for people, "10 GiB" or "1.46 TiB": exact where that is short, else three digits. */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 1023.7 rounds to 1024, which is 1 of the next unit.
  while (Math.round(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return `${bytes} B`;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}iB`;
}
