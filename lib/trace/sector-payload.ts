/**
 * What a verified replay writes: every sector tells whose it is, and any other content shows.
 *
 * A sector of 128 little-endian 32-bit words: six that name it (magic, seed, sector, sequence),
 * 116 that all follow from those names, and the same six again. So a sector that is stale,
 * misplaced, torn or mixed differs, and its two ends tell which writes it was made of.
 */
import { assert } from '../assert';
import { SECTOR_BYTES } from '../sector';

export const SECTOR_WORDS = SECTOR_BYTES / 4;

const MAGIC = 0x31504454; // "TDP1"
const NAME_WORDS = 6;
const TAIL_AT = SECTOR_WORDS - NAME_WORDS;
/** 2^32 / golden ratio: odd, so that the body's words all differ. */
const STEP = 0x9e3779b9 | 0;
const TWO_32 = 4294967296;

/** Fills `count` sectors from `wordIndex` on with what write number `sequence` puts there. */
export function fillSectors(
  words: Int32Array,
  wordIndex: number,
  sector: number,
  count: number,
  sequence: number,
  seed: number,
): void {
  assert(wordIndex + count * SECTOR_WORDS <= words.length, 'a payload is within its memory');
  for (let n = 0; n < count; n++) {
    const at = wordIndex + n * SECTOR_WORDS;
    writeName(words, at, sector + n, sequence, seed);
    writeName(words, at + TAIL_AT, sector + n, sequence, seed);
    let word = mixName(words, at);
    for (let i = at + NAME_WORDS, end = at + TAIL_AT; i < end; i++) {
      words[i] = word;
      word = (word + STEP) | 0;
    }
  }
}

/** True where the sector is, word by word, what write number `sequence` put there. */
export function isPayload(
  words: Int32Array,
  at: number,
  sector: number,
  sequence: number,
  seed: number,
): boolean {
  return (
    hasName(words, at, sector, sequence, seed) &&
    hasName(words, at + TAIL_AT, sector, sequence, seed) &&
    hasBody(words, at, mixName(words, at))
  );
}

export function isZeros(words: Int32Array, at: number): boolean {
  for (let i = at, end = at + SECTOR_WORDS; i < end; i++) {
    if (words[i] !== 0) return false;
  }
  return true;
}

/** Whose content a sector holds, as far as it tells. */
export type SectorContent =
  | { readonly kind: 'zeros' }
  /** One write's content, whole. */
  | { readonly kind: 'written'; readonly sector: number; readonly sequence: number; seed: number }
  /** Names at one or both ends, and something else from byte `differsAt` on. */
  | { readonly kind: 'torn'; readonly text: string; readonly differsAt: number }
  | { readonly kind: 'unknown' };

/** Describes what was found in a sector; for reports, not for the hot path. */
export function describeSector(words: Int32Array, at: number): SectorContent {
  if (isZeros(words, at)) return { kind: 'zeros' };
  const headNamed = words[at] === MAGIC;
  const tailNamed = words[at + TAIL_AT] === MAGIC;
  if (!headNamed && !tailNamed) return { kind: 'unknown' };
  const head = headNamed ? nameAt(words, at) : null;
  const tail = tailNamed ? nameAt(words, at + TAIL_AT) : null;
  if (head !== null && isPayload(words, at, head.sector, head.sequence, head.seed)) {
    return { kind: 'written', ...head };
  }
  return {
    kind: 'torn',
    differsAt: head === null ? 0 : firstDifference(words, at, head) * 4,
    text: `begins as ${nameText(head)} and ends as ${nameText(tail)}`,
  };
}

interface Name {
  readonly sector: number;
  readonly sequence: number;
  readonly seed: number;
}

function nameText(name: Name | null): string {
  return name === null ? 'something else' : `sector ${name.sector} of write ${name.sequence}`;
}

/** Index of the first word that is not what the name at the sector's beginning promises. */
function firstDifference(words: Int32Array, at: number, name: Name): number {
  const expected = new Int32Array(SECTOR_WORDS);
  fillSectors(expected, 0, name.sector, 1, name.sequence, name.seed);
  return expected.findIndex((word, i) => word !== words[at + i]);
}

function nameAt(words: Int32Array, at: number): Name {
  return {
    seed: words[at + 1] >>> 0,
    sector: (words[at + 2] >>> 0) + (words[at + 3] >>> 0) * TWO_32,
    sequence: (words[at + 4] >>> 0) + (words[at + 5] >>> 0) * TWO_32,
  };
}

function writeName(
  words: Int32Array,
  at: number,
  sector: number,
  sequence: number,
  seed: number,
): void {
  words[at] = MAGIC;
  words[at + 1] = seed;
  words[at + 2] = sector;
  words[at + 3] = sector / TWO_32;
  words[at + 4] = sequence;
  words[at + 5] = sequence / TWO_32;
}

/** Storing into an Int32Array and `>>> 0` both take the low 32 bits: the halves are exact. */
function hasName(
  words: Int32Array,
  at: number,
  sector: number,
  sequence: number,
  seed: number,
): boolean {
  return (
    words[at] === MAGIC &&
    words[at + 1] >>> 0 === seed &&
    words[at + 2] >>> 0 === sector >>> 0 &&
    words[at + 3] >>> 0 === (sector / TWO_32) >>> 0 &&
    words[at + 4] >>> 0 === sequence >>> 0 &&
    words[at + 5] >>> 0 === (sequence / TWO_32) >>> 0
  );
}

function hasBody(words: Int32Array, at: number, word: number): boolean {
  for (let i = at + NAME_WORDS, end = at + TAIL_AT; i < end; i++) {
    if (words[i] !== word) return false;
    word = (word + STEP) | 0;
  }
  return true;
}

/** The body's first word: every bit of the name has a part in every bit of it. */
function mixName(words: Int32Array, at: number): number {
  let mixed = MAGIC;
  for (let i = 1; i < NAME_WORDS; i++) {
    mixed = Math.imul(mixed ^ words[at + i], 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    mixed ^= mixed >>> 16;
  }
  return mixed;
}
