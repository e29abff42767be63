/**
 * The reference disk: for each sector the changes that a correct disk could still show, given what
 * was acknowledged, when, what reads have seen since, and which flushes were acknowledged.
 */
import { SECTOR_BYTES } from '../../../lib/sector';
import { valueOfSector } from './media';

const NEVER = Infinity;

/** A write, discard or write of zeros, from its submit to its answer. */
export interface Change {
  /** What it leaves in its sectors; 0 for zeros. */
  readonly value: number;
  readonly sector: number;
  readonly count: number;
  readonly start: number;
  end: number;
  /** It may have had no effect, sector by sector: a discard, or what was cut off by a kill. */
  isOptional: boolean;
  /** It was answered with an error: its sectors may change between old and new until rewritten. */
  hasFailed: boolean;
  /** Acknowledged as being on disk, by itself. */
  isDurable: boolean;
}

/** A change as one of its sectors knows it. */
interface Candidate {
  readonly change: Change;
  /** When a read that saw this change ended: it has happened by then. */
  seenAt: number;
  /** When a read ended that saw another change instead: this one is over by then. */
  overAt: number;
  /** An optional change that reads have seen. */
  isConfirmed: boolean;
}

export class SectorHistory {
  private readonly candidates: Candidate[][] = [];
  private readonly open = new Set<Change>();
  private readonly readsInFlight = new Set<number>();
  private clock = 0;
  /** When the latest acknowledged flush began: what was acknowledged before that is on disk. */
  private flushedUpTo = -1;

  constructor(readonly sectors: number) {
    for (let sector = 0; sector < sectors; sector++) {
      this.candidates.push([candidateOf(settledChange(0, sector, 1, -1))]);
    }
  }

  /** The disk's content before the first request, durable. */
  preset(sector: number, count: number, value: number): void {
    const change = settledChange(value, sector, count, -1);
    for (let s = sector; s < sector + count; s++) this.candidates[s] = [candidateOf(change)];
  }

  now(): number {
    return ++this.clock;
  }

  begin(value: number, sector: number, count: number, options: { isOptional: boolean }): Change {
    const change: Change = {
      value,
      sector,
      count,
      start: this.now(),
      end: NEVER,
      isOptional: options.isOptional,
      hasFailed: false,
      isDurable: false,
    };
    this.open.add(change);
    for (let s = sector; s < sector + count; s++) this.candidates[s].push(candidateOf(change));
    return change;
  }

  succeed(change: Change, isDurable: boolean): void {
    change.end = this.now();
    change.isDurable = isDurable;
    this.open.delete(change);
  }

  fail(change: Change): void {
    change.end = this.now();
    change.hasFailed = true;
    this.open.delete(change);
  }

  /** A flush that began at `start` was acknowledged. */
  flushed(start: number): void {
    this.flushedUpTo = Math.max(this.flushedUpTo, start);
    // A read in flight may still show what was overwritten since it began.
    const oldestRead = Math.min(start, ...this.readsInFlight);
    for (let s = 0; s < this.sectors; s++) {
      this.candidates[s] = this.afterPowerCut(s, oldestRead);
    }
  }

  /** The process died; what it was doing happened or did not. */
  killed(): void {
    const end = this.now();
    for (const change of this.open) {
      change.end = end;
      change.isOptional = true;
    }
    this.open.clear();
    this.readsInFlight.clear();
  }

  /** The power went: what was not flushed happened or did not, each sector for itself. */
  powerCut(): void {
    this.killed();
    const end = this.clock;
    for (let s = 0; s < this.sectors; s++) {
      const left = this.afterPowerCut(s).map(({ change }) => change.value);
      this.candidates[s] = [...new Set(left)].map((value) => {
        const change = settledChange(value, s, 1, end);
        change.isOptional = true;
        return candidateOf(change);
      });
    }
  }

  /** Returns when the read begins. */
  beginRead(): number {
    const start = this.now();
    this.readsInFlight.add(start);
    return start;
  }

  endRead(start: number): void {
    this.readsInFlight.delete(start);
  }

  /** @throws Error where a read that began at `start` shows what no correct disk could. */
  checkRead(sector: number, bytes: Buffer, start: number): void {
    const end = this.now();
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const s = sector + at / SECTOR_BYTES;
      this.see(s, valueOfSector(bytes, at), start, end);
    }
  }

  private see(sector: number, value: number, start: number, end: number): void {
    const all = this.candidates[sector];
    const lastStart = latestStart(
      all,
      ({ change, seenAt }) => Math.min(change.end, seenAt) < start,
    );
    const possible = all.filter(
      ({ change, overAt }) => change.end >= lastStart && (overAt >= start || change.hasFailed),
    );
    const seen = possible.filter(({ change }) => change.value === value);
    if (seen.length === 0) {
      const allowed = possible.map(({ change }) => change.value).join(', ');
      throw new Error(`sector ${sector} reads ${value}, but only [${allowed}] are possible`);
    }
    for (const candidate of all) {
      if (seen.includes(candidate)) continue;
      if (candidate.change.end < start) candidate.overAt = Math.min(candidate.overAt, end);
    }
    if (seen.length > 1) return;
    const [only] = seen;
    only.seenAt = Math.min(only.seenAt, end);
    if (only.change.end < start) only.isConfirmed = true;
  }

  /** The candidates that a power cut now may leave, by what ended before `limit`. */
  private afterPowerCut(sector: number, limit = NEVER): Candidate[] {
    const all = this.candidates[sector];
    if (all.length === 1) return all;
    const lastStart = latestStart(
      all,
      ({ change }) => change.end < limit && (change.isDurable || change.end < this.flushedUpTo),
    );
    return all.filter(({ change }) => change.end >= lastStart);
  }
}

/** When the last of the definite changes that `counts` began: what ended before that is gone. */
function latestStart(all: readonly Candidate[], counts: (candidate: Candidate) => boolean): number {
  let latest = -Infinity;
  for (const candidate of all) {
    const { start } = candidate.change;
    if (start > latest && isDefinite(candidate) && counts(candidate)) latest = start;
  }
  return latest;
}

function isDefinite({ change, isConfirmed }: Candidate): boolean {
  return !change.hasFailed && (!change.isOptional || isConfirmed);
}

function candidateOf(change: Change): Candidate {
  return { change, seenAt: NEVER, overAt: NEVER, isConfirmed: false };
}

function settledChange(value: number, sector: number, count: number, end: number): Change {
  return {
    value,
    sector,
    count,
    start: end,
    end,
    isOptional: false,
    hasFailed: false,
    isDurable: true,
  };
}
