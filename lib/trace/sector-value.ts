/** What a sector may hold, as one number: the currency of the disk model. */

/** Never heard of: zeros on a fresh disk, else learned when it is first read. */
export const VALUE_ABSENT = 0;
export const VALUE_ZEROS = 1;
/** One of several values, which stand beside the table. */
export const VALUE_SET = 2;
/** Learned when it is next read, whatever it is, on a fresh disk too. */
export const VALUE_ANY = 3;
/** As VALUE_ABSENT, where absence itself means something else. */
export const VALUE_UNHEARD = 4;

const FIRST_SEQUENCE = 16;

/** The content that write number `sequence` generates (sector-payload.ts). */
export function valueOfSequence(sequence: number): number {
  return sequence + FIRST_SEQUENCE;
}

/** The sequence of a generated value, or -1. */
export function sequenceOfValue(value: number): number {
  return value >= FIRST_SEQUENCE ? value - FIRST_SEQUENCE : -1;
}

/** Content known only by its 32-bit hash: recorded payloads, and what was found on the disk. */
export function valueOfHash(hash: number): number {
  return -1 - hash;
}

export function isHashValue(value: number): boolean {
  return value < 0;
}

export function valueText(value: number): string {
  const sequence = sequenceOfValue(value);
  if (sequence >= 0) return `write ${sequence}`;
  if (value === VALUE_ZEROS) return 'zeros';
  if (isHashValue(value)) return `data with hash ${(-1 - value).toString(16).padStart(8, '0')}`;
  return 'anything';
}
