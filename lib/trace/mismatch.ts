/** A sector that does not hold what it must, told to a person. */
import { describeSector, type SectorContent } from './sector-payload';
import {
  sequenceOfValue,
  VALUE_ABSENT,
  VALUE_UNHEARD,
  VALUE_ZEROS,
  valueText,
} from './sector-value';

/**
 * What went wrong: `lost` zeros where data must be, `stale` an older write's data, `newer` a later
 * one's than was acknowledged there, `misplaced` another sector's data, `torn` parts of several,
 * `foreign` a replay's with another seed, `unexpected` data where zeros must be, `damaged` the rest.
 */
export type MismatchKind =
  'lost' | 'stale' | 'newer' | 'misplaced' | 'torn' | 'foreign' | 'unexpected' | 'damaged';

export interface Mismatch {
  readonly sector: number;
  readonly kind: MismatchKind;
  readonly expected: string;
  readonly found: string;
}

/** Describes the sector at word `at`, which should have held one of `expected`. */
export function describeMismatch(
  words: Int32Array,
  at: number,
  sector: number,
  expected: readonly number[],
  seed: number,
): Mismatch {
  const content = describeSector(words, at);
  return {
    sector,
    kind: kindOf(content, sector, expected, seed),
    expected: expected.map(expectationText).join(' or '),
    found: contentText(content),
  };
}

function kindOf(
  content: SectorContent,
  sector: number,
  expected: readonly number[],
  seed: number,
): MismatchKind {
  if (content.kind === 'zeros') return 'lost';
  if (content.kind === 'torn') return 'torn';
  if (content.kind === 'written') {
    if (content.seed !== seed) return 'foreign';
    if (content.sector !== sector) return 'misplaced';
    const newest = Math.max(...expected.map(sequenceOfValue));
    if (newest >= 0) return content.sequence < newest ? 'stale' : 'newer';
  }
  return expected.every(readsAsZeros) ? 'unexpected' : 'damaged';
}

/** Only a fresh disk's absent sectors are ever compared, and those are zeros. */
function readsAsZeros(value: number): boolean {
  return value === VALUE_ZEROS || value === VALUE_ABSENT || value === VALUE_UNHEARD;
}

function expectationText(value: number): string {
  return readsAsZeros(value) ? 'zeros' : valueText(value);
}

function contentText(content: SectorContent): string {
  switch (content.kind) {
    case 'zeros':
      return 'zeros';
    case 'written':
      return `sector ${content.sector} of write ${content.sequence} (seed ${content.seed})`;
    case 'torn':
      return `${content.text}, differing from byte ${content.differsAt} on`;
    case 'unknown':
      return 'data that no replay wrote';
  }
}
