/** A disk in memory behind a replay's front end: correct, unless a fault is planted in it. */
import type { ReplayListener, ReplayRequest, ReplayTarget } from '../../lib/trace/replay-target';
import { PAGE_SECTORS } from '../../lib/trace/trace-record';

const SECTOR_WORDS = 128;
const PAGE_WORDS = PAGE_SECTORS * SECTOR_WORDS;

export interface MemoryTargetOptions {
  readonly sectors: number;
  readonly slots?: number;
  readonly sectorsMax?: number;
  readonly takesShapes?: boolean;
  readonly readOnly?: boolean;
  readonly seed?: number;
}

interface Pending {
  slot: number;
  operation: number;
  sector: number;
  sectorCount: number;
  pieces: { word: number; sectors: number }[];
}

/** What a faulty disk does differently; each returns true where it has done the work itself. */
export interface Faults {
  write?: (disk: MemoryTarget, request: Pending) => boolean;
  read?: (disk: MemoryTarget, request: Pending) => boolean;
  status?: (request: Pending) => number;
}

export class MemoryTarget implements ReplayTarget {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly slots: number;
  readonly sectorsMax: number;
  readonly takesShapes: boolean;
  listener: ReplayListener | null = null;
  /** Set to make the back end die: nothing is answered any more. */
  gone: string | null = null;
  faults: Faults = {};
  /** Every request that was carried out, as text. */
  readonly log: string[] = [];
  inFlightMax = 0;

  readonly content = new Map<number, Int32Array>();
  private readonly memory: Int32Array[];
  private submitted: Pending[] = [];
  private waiting: Pending[] = [];
  private random: number;
  private scheduled = false;

  constructor(options: MemoryTargetOptions) {
    this.sectors = options.sectors;
    this.slots = options.slots ?? 32;
    this.sectorsMax = options.sectorsMax ?? 88;
    this.takesShapes = options.takesShapes ?? true;
    this.readOnly = options.readOnly ?? false;
    this.random = options.seed ?? 1;
    this.memory = Array.from(
      { length: this.slots },
      () => new Int32Array(this.sectorsMax * SECTOR_WORDS),
    );
  }

  slotWords(slot: number): Int32Array {
    return this.memory[slot];
  }

  submit(request: ReplayRequest): void {
    const pieces = [];
    for (let s = 0; s < request.segmentCount; s++) {
      const [first, last] = [request.segmentFirst[s], request.segmentLast[s]];
      pieces.push({ word: s * PAGE_WORDS + first * SECTOR_WORDS, sectors: last - first + 1 });
    }
    const { slot, operation, sector, sectorCount } = request;
    this.submitted.push({ slot, operation, sector, sectorCount, pieces });
  }

  kick(): void {
    this.waiting.push(...this.submitted);
    this.inFlightMax = Math.max(this.inFlightMax, this.waiting.length);
    this.submitted = [];
    this.schedule();
  }

  poll(): void {}

  resubmit(): void {
    this.schedule();
  }

  backEndGone(): string | null {
    return this.gone;
  }

  async close(): Promise<void> {}

  /** Another back end takes over; what was unanswered is carried out by it. */
  replaceBackEnd(): void {
    this.gone = null;
    this.listener?.backEndReplaced();
  }

  readSector(sector: number): Int32Array {
    return this.content.get(sector) ?? new Int32Array(SECTOR_WORDS);
  }

  forEachSector(request: Pending, visit: (sector: number, words: Int32Array) => void): void {
    let sector = request.sector;
    for (const { word, sectors } of request.pieces) {
      for (let n = 0; n < sectors; n++, sector++) {
        const at = word + n * SECTOR_WORDS;
        visit(sector, this.memory[request.slot].subarray(at, at + SECTOR_WORDS));
      }
    }
  }

  private schedule(): void {
    if (this.scheduled || this.waiting.length === 0) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.gone === null) this.answerSome();
    });
  }

  /** Answers a random number of random requests: completions come in any order. */
  private answerSome(): void {
    for (let n = this.draw(this.waiting.length) + 1; n > 0 && this.gone === null; n--) {
      const [request] = this.waiting.splice(this.draw(this.waiting.length), 1);
      const status = this.faults.status?.(request) ?? 0;
      if (status === 0) this.carryOut(request);
      if (this.gone === null) this.listener?.requestAnswered(request.slot, status);
      else this.waiting.push(request);
    }
    if (this.gone === null) this.listener?.batchAnswered();
    this.schedule();
  }

  private carryOut(request: Pending): void {
    const { operation, sector, sectorCount, pieces } = request;
    this.log.push(`${operation} ${sector}+${sectorCount} in ${pieces.length}`);
    if (operation === 0) {
      if (this.faults.read?.(this, request) === true) return;
      this.forEachSector(request, (s, words) => words.set(this.readSector(s)));
    } else if (operation === 5) {
      for (const s of [...this.content.keys()]) {
        if (s >= sector && s < sector + sectorCount) this.content.delete(s);
      }
    } else {
      if (this.faults.write?.(this, request) === true) return;
      this.forEachSector(request, (s, words) => this.content.set(s, words.slice()));
    }
  }

  private draw(below: number): number {
    this.random = (Math.imul(this.random, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.random / 2 ** 32) * below);
  }
}
