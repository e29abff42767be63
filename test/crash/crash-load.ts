/** A load that knows what it wrote: random writes, reads, flushes and discards on one ring. */
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_RSP_OKAY,
} from '../../lib/ring';
import { DiskModel } from '../../lib/trace/disk-model';
import type { Mismatch } from '../../lib/trace/mismatch';
import { fillSectors } from '../../lib/trace/sector-payload';
import type { Random } from './random';

const SECTOR_BYTES = 512;
const MISMATCHES_KEPT = 5;
/** A request that is not answered in this time is lost. */
const QUIET_TIMEOUT_MS = 60_000;

interface InFlight {
  readonly operation: number;
  readonly sector: number;
  readonly count: number;
}

/** Requests never overlap one in flight, so each sector has one right content at each answer. */
export class CrashLoad {
  readonly mismatches: Mismatch[] = [];
  mismatchCount = 0;
  failures = 0;
  answered = 0;
  reconnects = 0;
  private guest!: ShmGuest;
  private readonly inFlight = new Map<number, InFlight>();
  private readonly words = new Map<number, Int32Array>();
  private running = false;
  private whenQuiet: (() => void) | null = null;
  /** Requests to be made before any that are chosen at random. */
  private readonly asked: InFlight[] = [];

  constructor(
    private readonly model: DiskModel,
    private readonly random: Random,
    private readonly sectors: number,
    private readonly depth: number,
  ) {}

  async open(directory: string): Promise<void> {
    this.guest = await ShmGuest.open(directory, {
      completed: (slot, status) => this.completed(slot, status),
      reconnected: () => {
        this.reconnects++;
        this.guest.resubmit();
      },
      broken: (reason) => {
        throw reason;
      },
    });
  }

  close(): void {
    this.guest.close();
  }

  start(): void {
    this.running = true;
    this.fill();
  }

  /** Submits no more; resolves when every request is answered. */
  async quiesce(): Promise<void> {
    this.running = false;
    if (this.inFlight.size === 0) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new Error(`${this.inFlight.size} requests were not answered in ${QUIET_TIMEOUT_MS} ms`),
        );
      }, QUIET_TIMEOUT_MS);
      this.whenQuiet = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Reads every sector of the disk and compares it. */
  async verifyAll(): Promise<void> {
    const step = this.guest.sectorsMax;
    for (let sector = 0; sector < this.sectors; sector += step) {
      const count = Math.min(step, this.sectors - sector);
      this.asked.push({ operation: BLKIF_OP_READ, sector, count });
    }
    this.fill();
    await this.quiesce();
  }

  /** Writes one sector, then flushes; what it holds when both are acknowledged, 512 bytes. */
  async writeFlushed(sector: number): Promise<Buffer> {
    const write = { operation: BLKIF_OP_WRITE, sector, count: 1 };
    this.asked.push(write);
    this.fill();
    const content = Buffer.from(
      this.guest.slotMemory(this.slotOf(write)).subarray(0, SECTOR_BYTES),
    );
    await this.quiesce();
    this.asked.push({ operation: BLKIF_OP_FLUSH_DISKCACHE, sector: 0, count: 0 });
    this.fill();
    await this.quiesce();
    return content;
  }

  private slotOf(request: InFlight): number {
    for (const [slot, other] of this.inFlight) if (other === request) return slot;
    throw new Error('the request was not submitted');
  }

  private fill(): void {
    while (this.inFlight.size < this.depth) {
      const next = this.asked.shift() ?? (this.running ? this.choose() : null);
      if (next === null) break;
      this.submit(next);
    }
    this.guest.push();
    if (this.inFlight.size === 0) {
      this.whenQuiet?.();
      this.whenQuiet = null;
    }
  }

  private choose(): InFlight | null {
    for (let attempt = 0; attempt < 20; attempt++) {
      const operation = this.chooseOperation();
      if (operation === BLKIF_OP_FLUSH_DISKCACHE) return { operation, sector: 0, count: 0 };
      const count = 1 + this.random.below(this.guest.sectorsMax);
      const sector = this.random.below(this.sectors - count);
      if (!this.overlaps(sector, count)) return { operation, sector, count };
    }
    return null;
  }

  private chooseOperation(): number {
    const dice = this.random.below(100);
    if (dice < 55) return BLKIF_OP_WRITE;
    if (dice < 85) return BLKIF_OP_READ;
    return dice < 95 ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_DISCARD;
  }

  private overlaps(sector: number, count: number): boolean {
    for (const other of this.inFlight.values()) {
      if (sector < other.sector + other.count && other.sector < sector + count) return true;
    }
    return false;
  }

  private submit(request: InFlight): void {
    const slot = this.guest.acquireSlot();
    const { operation, sector, count } = request;
    if (operation === BLKIF_OP_WRITE) {
      const sequence = this.model.writeStarted(slot, sector, count);
      fillSectors(this.wordsOf(slot), 0, sector, count, sequence, this.model.options.seed);
    } else if (operation === BLKIF_OP_FLUSH_DISKCACHE) {
      this.model.flushStarted(slot);
    } else if (operation === BLKIF_OP_DISCARD) {
      this.model.discardStarted(slot, sector, count);
    }
    this.inFlight.set(slot, request);
    this.guest.submit(slot, operation, sector, count);
  }

  private completed(slot: number, status: number): void {
    const request = this.inFlight.get(slot);
    if (request === undefined) throw new Error(`slot ${slot} was answered twice`);
    this.inFlight.delete(slot);
    this.answered++;
    if (status !== BLKIF_RSP_OKAY) this.failures++;
    if (request.operation !== BLKIF_OP_READ) {
      this.model.ended(slot, status);
    } else if (status === BLKIF_RSP_OKAY) {
      this.check(slot, request);
    }
    this.guest.releaseSlot(slot);
    this.fill();
  }

  private check(slot: number, { sector, count }: InFlight): void {
    const words = this.wordsOf(slot);
    this.mismatchCount += this.model.check(sector, count, words, 0, (mismatch) => {
      if (this.mismatches.length < MISMATCHES_KEPT) this.mismatches.push(mismatch);
    });
  }

  private wordsOf(slot: number): Int32Array {
    let words = this.words.get(slot);
    if (words === undefined) {
      const memory = this.guest.slotMemory(slot);
      words = new Int32Array(memory.buffer, memory.byteOffset, memory.length / 4);
      this.words.set(slot, words);
    }
    return words;
  }
}
