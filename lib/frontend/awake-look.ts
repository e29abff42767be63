/** Looks awake, for a moment, whether a guest that has just been answered asks again. */
import { TapdiskError } from '../errors';
import type { BackRing } from '../ring/back-ring';
import { LOOKS_SKIPPED_MAX, SPIN_US_DEFAULT, SPIN_US_MAX } from './limits';

/** A look takes some 10 ns, the clock a few times that. */
const LOOKS_PER_CLOCK = 32;
const US_PER_MS = 1000;

/**
 * A guest with one request at a time asks within microseconds of its answer. To find that request
 * here costs neither its doorbell nor our sleep and wake-up. Where a look was in vain, the next one,
 * two, four … answers go without: so a guest that takes its time costs next to nothing.
 */
export class AwakeLook {
  private readonly spinMs: number;
  private skipped = 0;
  private toSkip = 0;

  /** 0: never. */
  constructor(spinUs: number) {
    this.spinMs = spinUs / US_PER_MS;
  }

  /** Whether to look after this answer. */
  isDue(): boolean {
    if (this.spinMs === 0) return false;
    if (this.skipped >= this.toSkip) return true;
    this.skipped++;
    return false;
  }

  /** Returns when there is a request, or the time is over. */
  look(ring: BackRing): void {
    this.skipped = 0;
    const endMs = performance.now() + this.spinMs;
    do {
      for (let looks = 0; looks < LOOKS_PER_CLOCK; looks++) {
        if (ring.unconsumed() === 0) continue;
        this.toSkip = 0;
        return;
      }
    } while (performance.now() < endMs);
    this.toSkip = Math.min(Math.max(this.toSkip * 2, 1), LOOKS_SKIPPED_MAX);
  }
}

/**
 * TAPDISK_TS_SPIN_US, else the default; 0: not at all.
 *
 * @throws TapdiskError SPIN_INVALID
 */
export function askedSpinUs(): number {
  const text = process.env.TAPDISK_TS_SPIN_US ?? '';
  if (text === '') return SPIN_US_DEFAULT;
  const spinUs = Number(text);
  if (Number.isInteger(spinUs) && spinUs >= 0 && spinUs <= SPIN_US_MAX) return spinUs;
  throw new TapdiskError(
    'SPIN_INVALID',
    `TAPDISK_TS_SPIN_US is '${text}'; set it to microseconds from 0 (never look) to ${SPIN_US_MAX}`,
  );
}
