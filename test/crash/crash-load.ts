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
import { overlapsAny } from './overlaps';
import { QuietWait } from './quiet-wait';
import type { Random } from './random';
import { SlotWords } from './slot-words';

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
  private readonly words = new SlotWords(() => this.guest);
  private readonly quiet = new QuietWait(() => this.inFlight.size, QUIET_TIMEOUT_MS);
  private running = false;
  /** Requests to be made before any that are chosen at random. */
  private readonly asked: InFlight[] = [];

  constructor(
    private readonly model: DiskModel,
    private readonly random: Random,
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

  /** Of the disk, as its back end says; requests reach that far. */
  get sectors(): number {
    return this.guest.sectors;
  }

  start(): void {
    this.running = true;
    this.fill();
  }

  /** Submits no more; resolves when every request is answered. */
  async quiesce(): Promise<void> {
    this.running = false;
    await this.quiet.wait();
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
    this.quiet.look();
  }

  private choose(): InFlight | null {
    for (let attempt = 0; attempt < 20; attempt++) {
      const operation = this.chooseOperation();
      if (operation === BLKIF_OP_FLUSH_DISKCACHE) return { operation, sector: 0, count: 0 };
      const count = 1 + this.random.below(this.guest.sectorsMax);
      const sector = this.random.below(this.sectors - count);
      if (!overlapsAny(this.inFlight.values(), { sector, count })) {
        return { operation, sector, count };
      }
    }
    return null;
  }

  private chooseOperation(): number {
    const dice = this.random.below(100);
    if (dice < 55) return BLKIF_OP_WRITE;
    if (dice < 85) return BLKIF_OP_READ;
    return dice < 95 ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_DISCARD;
  }

  private submit(request: InFlight): void {
    const slot = this.guest.acquireSlot();
    const { operation, sector, count } = request;
    if (operation === BLKIF_OP_WRITE) {
      const sequence = this.model.writeStarted(slot, sector, count);
      fillSectors(this.words.of(slot), 0, sector, count, sequence, this.model.options.seed);
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
    const words = this.words.of(slot);
    this.mismatchCount += this.model.check(sector, count, words, 0, (mismatch) => {
      if (this.mismatches.length < MISMATCHES_KEPT) this.mismatches.push(mismatch);
    });
  }
}
