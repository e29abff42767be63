/** Loads a ring as a guest would, and measures from submit to answer. */
import { createHistogram } from 'node:perf_hooks';
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';
import { BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_RSP_OKAY } from '../../lib/ring';
import { processUsage } from './process-usage';
import type { Load, Sample } from './sample';

const SECTOR_BYTES = 512;
const FILL_BLOCK_BYTES = 32 * 1024;

export class RingLoad {
  private guest!: ShmGuest;
  private load!: Load;
  private sectorsPerRequest = 0;
  private nextSector = 0;
  private until = 0;
  private answered = 0;
  /** Requests still to submit, where their number and not the time ends the run. */
  private left = Infinity;
  private pushScheduled = false;
  private readonly startedAt = new Float64Array(4096);
  private histogram = createHistogram();
  private ended: (() => void) | null = null;

  constructor(private readonly sectors: number) {}

  async open(deviceDirectory: string): Promise<void> {
    this.guest = await ShmGuest.open(deviceDirectory, {
      completed: (slot, status) => this.completed(slot, status),
    });
  }

  close(): void {
    this.guest.close();
  }

  /** Runs one load for so long; `pid` is the process that serves the ring. */
  async run(load: Load, durationMs: number, pid: number): Promise<Sample> {
    this.load = load;
    this.sectorsPerRequest = load.blockBytes / SECTOR_BYTES;
    this.answered = 0;
    this.nextSector = 0;
    this.histogram = createHistogram();
    const before = processUsage(pid);
    const start = performance.now();
    this.until = start + durationMs;
    const ended = new Promise<void>((resolve) => (this.ended = resolve));
    for (let i = 0; i < load.depth; i++) this.submit(this.guest.acquireSlot());
    this.guest.push();
    await ended;
    const seconds = (performance.now() - start) / 1000;
    const after = processUsage(pid);
    return {
      iops: this.answered / seconds,
      mbPerSecond: (this.answered * load.blockBytes) / seconds / 1e6,
      latencyUsP50: this.histogram.percentile(50) / 1000,
      latencyUsP99: this.histogram.percentile(99) / 1000,
      userUs: (after.userUs - before.userUs) / this.answered,
      systemUs: (after.systemUs - before.systemUs) / this.answered,
      residentBytes: after.residentBytes,
    };
  }

  /** Writes every sector once, so that no later write is a chunk's first. */
  async fill(pid: number): Promise<void> {
    const blockBytes = FILL_BLOCK_BYTES;
    this.left = (this.sectors * SECTOR_BYTES) / blockBytes;
    const load: Load = {
      operation: 'write',
      pattern: 'sequential',
      blockBytes,
      depth: this.guest.slots,
      direct: true,
    };
    await this.run(load, Infinity, pid);
    this.left = Infinity;
  }

  private submit(slot: number): void {
    this.left--;
    const operation = this.load.operation === 'read' ? BLKIF_OP_READ : BLKIF_OP_WRITE;
    this.startedAt[slot] = performance.now();
    this.guest.submit(slot, operation, this.chooseSector(), this.sectorsPerRequest);
  }

  private chooseSector(): number {
    const count = this.sectorsPerRequest;
    const blocks = Math.floor(this.sectors / count);
    if (this.load.pattern === 'random') return Math.floor(Math.random() * blocks) * count;
    const sector = this.nextSector;
    this.nextSector = sector + 2 * count > this.sectors ? 0 : sector + count;
    return sector;
  }

  private completed(slot: number, status: number): void {
    if (status !== BLKIF_RSP_OKAY) throw new Error(`a request failed with status ${status}`);
    const now = performance.now();
    this.answered++;
    this.histogram.record(Math.max(1, Math.round((now - this.startedAt[slot]) * 1e6)));
    if (now < this.until && this.left > 0) {
      this.submit(slot);
      this.pushSoon();
      return;
    }
    this.guest.releaseSlot(slot);
    if (this.guest.inFlight() === 0) this.ended?.();
  }

  /** One push for all that one doorbell brought. */
  private pushSoon(): void {
    if (this.pushScheduled) return;
    this.pushScheduled = true;
    queueMicrotask(() => {
      this.pushScheduled = false;
      this.guest.push();
    });
  }
}
