/**
 * A guest that knows what it wrote and can move: random writes, reads, flushes and discards on one
 * ring, and then on another host's, with what was not answered sent again (blkfront: blkif_recover).
 */
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
import { overlapsAny } from '../crash/overlaps';
import { QuietWait } from '../crash/quiet-wait';
import type { Random } from '../crash/random';
import { SlotWords } from '../crash/slot-words';
import { AnswerGaps } from './answer-gaps';

const MISMATCHES_KEPT = 5;
/** A request that is not answered in this time is lost. */
const QUIET_TIMEOUT_MS = 90_000;
/** A move that is not done in this time will not be. */
const MOVE_TIMEOUT_MS = 90_000;
const DISCARDED_CHUNKS_MAX = 3;
const CHOICES_TRIED = 20;

interface Request {
  /** Names it to the model, whichever slot of whichever ring it is in. */
  readonly tag: number;
  readonly operation: number;
  readonly sector: number;
  readonly count: number;
  /** Of a write's payload. */
  readonly sequence: number;
}

export interface GuestOptions {
  readonly model: DiskModel;
  readonly random: Random;
  readonly sectors: number;
  readonly chunkSectors: number;
  readonly depth: number;
  /** Without them every chunk is soon written, and no map entry has to be committed any more. */
  readonly discards: boolean;
}

/** Requests never overlap one in flight, so each sector has one right content at each answer. */
export class VerifiedGuest {
  readonly gaps = new AnswerGaps();
  readonly mismatches: Mismatch[] = [];
  mismatchCount = 0;
  failures = 0;
  answered = 0;
  flushes = 0;
  resent = 0;
  /** Successes of a ring that the guest had left: answers of an owner that was none any more. */
  lateAnswers = 0;
  private ring: Ring | null = null;
  private readonly left: Ring[] = [];
  private readonly inFlight = new Map<number, Request>();
  private readonly freeTags: number[];
  private readonly verifyQueue: { sector: number; count: number }[] = [];
  private running = false;
  private readonly quiet = new QuietWait(() => this.inFlight.size, QUIET_TIMEOUT_MS);

  constructor(private readonly options: GuestOptions) {
    this.freeTags = Array.from({ length: options.depth }, (_, tag) => options.depth - 1 - tag);
  }

  /** The first ring, or another after `leave`. */
  async connect(directory: string): Promise<void> {
    await this.adopt(await this.openRing(directory));
  }

  /**
   * Waits for a back end on another ring, while requests go on on this one, and moves to it the
   * moment that it serves. @returns milliseconds from the last answer there to the first one here
   */
  async move(directory: string, keepOld = false): Promise<number> {
    const next = await this.openRing(directory);
    const old = this.ring;
    old?.guest.poll();
    const lastMs = this.gaps.lastMs;
    const before = this.answered;
    this.ring = null;
    if (old !== null) this.leaveRing(old, keepOld);
    await this.adopt(next);
    await this.untilAnswered(before + 1);
    return this.firstAnswerMs - lastMs;
  }

  start(): void {
    this.running = true;
    this.gaps.beganToWait();
    this.fill();
  }

  /** Submits no more; resolves when every request is answered. */
  async quiesce(): Promise<void> {
    this.running = false;
    await this.quiet.wait();
  }

  /** Reads every sector of the disk and compares it. */
  async verifyAll(): Promise<void> {
    const { sectors } = this.options;
    const step = this.current.guest.sectorsMax;
    for (let sector = 0; sector < sectors; sector += step) {
      this.verifyQueue.push({ sector, count: Math.min(step, sectors - sector) });
    }
    this.gaps.beganToWait();
    this.fill();
    await this.quiesce();
  }

  /** Resolves when so many requests in all have been answered. */
  async untilAnswered(count: number, timeoutMs = MOVE_TIMEOUT_MS): Promise<void> {
    if (this.answered >= count) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.answerWaiter = {
        count,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
    });
  }

  close(): void {
    for (const ring of [this.ring, ...this.left]) ring?.guest.close();
    this.ring = null;
    this.left.length = 0;
  }

  private answerWaiter: { count: number; resolve: () => void } | null = null;
  private firstAnswerMs = 0;

  private get current(): Ring {
    if (this.ring === null) throw new Error('the guest has no ring');
    return this.ring;
  }

  private async openRing(directory: string): Promise<Ring> {
    const ring = new Ring();
    ring.guest = await ShmGuest.open(
      directory,
      {
        completed: (slot, status) => this.completed(ring, slot, status),
        reconnected: () => {
          // Once left, a ring's requests are another one's.
          if (this.left.includes(ring)) return;
          this.resent += ring.guest.resubmit();
        },
        broken: (reason) => {
          throw reason;
        },
      },
      MOVE_TIMEOUT_MS,
    );
    return ring;
  }

  private leaveRing(ring: Ring, keep: boolean): void {
    if (keep) this.left.push(ring);
    else ring.guest.close();
  }

  private async adopt(ring: Ring): Promise<void> {
    this.ring = ring;
    this.firstAnswerMs = 0;
    for (const request of this.inFlight.values()) {
      this.put(request);
      this.resent++;
    }
    this.fill();
  }

  private fill(): void {
    if (this.ring === null) return;
    while (this.freeTags.length > 0) {
      const tag = this.freeTags.pop()!;
      const request = this.next(tag);
      if (request === null) {
        this.freeTags.push(tag);
        break;
      }
      this.inFlight.set(tag, request);
      this.put(request);
    }
    this.ring.guest.push();
    this.quiet.look();
  }

  private next(tag: number): Request | null {
    const verify = this.verifyQueue.shift();
    if (verify !== undefined) {
      return { tag, operation: BLKIF_OP_READ, sequence: 0, ...verify };
    }
    if (!this.running) return null;
    for (let tried = 0; tried < CHOICES_TRIED; tried++) {
      const operation = this.chooseOperation();
      const { sector, count } = this.choosePlace(operation);
      if (!overlapsAny(this.inFlight.values(), { sector, count })) {
        return this.begin(tag, operation, sector, count);
      }
    }
    return null;
  }

  private begin(tag: number, operation: number, sector: number, count: number): Request {
    const { model } = this.options;
    let sequence = 0;
    if (operation === BLKIF_OP_WRITE) sequence = model.writeStarted(tag, sector, count);
    else if (operation === BLKIF_OP_FLUSH_DISKCACHE) model.flushStarted(tag);
    else if (operation === BLKIF_OP_DISCARD) model.discardStarted(tag, sector, count);
    return { tag, operation, sector, count, sequence };
  }

  private chooseOperation(): number {
    const dice = this.options.random.below(100);
    if (dice < 55) return BLKIF_OP_WRITE;
    if (dice < 85) return BLKIF_OP_READ;
    return dice < 95 || !this.options.discards ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_DISCARD;
  }

  /** Discards are of whole chunks, so that later writes there are first writes again. */
  private choosePlace(operation: number): { sector: number; count: number } {
    const { random, sectors, chunkSectors } = this.options;
    if (operation === BLKIF_OP_FLUSH_DISKCACHE) return { sector: 0, count: 0 };
    if (operation === BLKIF_OP_DISCARD) {
      const chunks = 1 + random.below(DISCARDED_CHUNKS_MAX);
      const first = random.below(sectors / chunkSectors - chunks);
      return { sector: first * chunkSectors, count: chunks * chunkSectors };
    }
    const count = 1 + random.below(this.current.guest.sectorsMax);
    return { sector: random.below(sectors - count), count };
  }

  private put(request: Request): void {
    const { operation, sector, count, sequence } = request;
    const { guest, tags } = this.current;
    const slot = guest.acquireSlot();
    tags.set(slot, request.tag);
    if (operation === BLKIF_OP_WRITE) {
      const { seed } = this.options.model.options;
      fillSectors(this.current.words.of(slot), 0, sector, count, sequence, seed);
    }
    guest.submit(slot, operation, sector, count);
  }

  private completed(ring: Ring, slot: number, status: number): void {
    if (this.left.includes(ring)) {
      if (status === BLKIF_RSP_OKAY) this.lateAnswers++;
      ring.guest.releaseSlot(slot);
      return;
    }
    const tag = ring.tags.get(slot);
    const request = tag === undefined ? undefined : this.inFlight.get(tag);
    if (request === undefined) throw new Error(`slot ${slot} was answered twice`);
    this.gaps.answered();
    if (this.firstAnswerMs === 0) this.firstAnswerMs = this.gaps.lastMs;
    this.finish(ring, slot, request, status);
    ring.guest.releaseSlot(slot);
    if (this.answerWaiter !== null && this.answered >= this.answerWaiter.count) {
      this.answerWaiter.resolve();
      this.answerWaiter = null;
    }
    if (ring === this.ring) this.fill();
  }

  private finish(ring: Ring, slot: number, request: Request, status: number): void {
    const { tag, operation } = request;
    this.inFlight.delete(tag);
    this.freeTags.push(tag);
    this.answered++;
    if (status !== BLKIF_RSP_OKAY) this.failures++;
    else if (operation === BLKIF_OP_FLUSH_DISKCACHE) this.flushes++;
    if (operation !== BLKIF_OP_READ) this.options.model.ended(tag, status);
    else if (status === BLKIF_RSP_OKAY) this.check(ring, slot, request);
  }

  private check(ring: Ring, slot: number, { sector, count }: Request): void {
    const words = ring.words.of(slot);
    this.mismatchCount += this.options.model.check(sector, count, words, 0, (mismatch) => {
      if (this.mismatches.length < MISMATCHES_KEPT) this.mismatches.push(mismatch);
    });
  }
}

/** One ring that the guest is, or was, on. */
class Ring {
  guest!: ShmGuest;
  /** By slot: which request is in it. */
  readonly tags = new Map<number, number>();
  readonly words = new SlotWords(() => this.guest);
}
