/** A replay's way to a real ring: the front end's side of a shared-memory stand-in device. */
import { ShmGuest } from '../frontend/shm/shm-guest';
import { assert } from '../assert';
import { REQUEST_DISCARD } from '../vbd/request';
import type { ReplayListener, ReplayRequest, ReplayTarget } from './replay-target';

export class ShmTarget implements ReplayTarget {
  readonly takesShapes = true;
  listener: ReplayListener | null = null;
  private guest!: ShmGuest;
  private words: Int32Array[] = [];
  private gone: string | null = null;
  private batchQueued = false;
  private readonly endBatch = (): void => {
    this.batchQueued = false;
    this.listener?.batchAnswered();
  };

  /**
   * Waits for a back end to serve the device.
   * @param directory the stand-in device's own.
   * @throws TapdiskError SHM_*
   */
  static async open(directory: string, timeoutMs: number): Promise<ShmTarget> {
    const target = new ShmTarget();
    target.guest = await ShmGuest.open(
      directory,
      {
        completed: (slot, status) => target.completed(slot, status),
        backEndLost: () => (target.gone = 'its process has ended'),
        reconnected: () => target.reconnected(),
        broken: (reason) => (target.gone = reason.message),
      },
      timeoutMs,
    );
    target.takeSlots();
    return target;
  }

  get sectors(): number {
    return this.guest.sectors;
  }

  get readOnly(): boolean {
    return this.guest.readOnly;
  }

  get slots(): number {
    return this.guest.slots;
  }

  get sectorsMax(): number {
    return this.guest.sectorsMax;
  }

  slotWords(slot: number): Int32Array {
    return this.words[slot];
  }

  submit(request: ReplayRequest): void {
    const { slot, operation, sector, sectorCount } = request;
    if (operation === REQUEST_DISCARD) {
      this.guest.submit(slot, operation, sector, sectorCount);
    } else {
      const { segmentCount, segmentFirst, segmentLast } = request;
      this.guest.submitShaped(slot, operation, sector, segmentCount, segmentFirst, segmentLast);
    }
  }

  kick(): void {
    this.guest.push();
  }

  poll(): void {
    this.guest.poll();
  }

  resubmit(): void {
    this.guest.resubmit();
  }

  backEndGone(): string | null {
    return this.gone;
  }

  async close(): Promise<void> {
    this.listener = null;
    this.guest.close();
  }

  /** All slots are ours for good: a replay's slot is the guest's of the same number. */
  private takeSlots(): void {
    const memory: Int32Array[] = [];
    for (let slot = this.guest.acquireSlot(); slot !== -1; slot = this.guest.acquireSlot()) {
      const bytes = this.guest.slotMemory(slot);
      memory[slot] = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    }
    assert(Object.keys(memory).length === this.guest.slots, 'a guest hands out each of its slots');
    this.words = memory;
  }

  private completed(slot: number, status: number): void {
    this.listener?.requestAnswered(slot, status);
    if (this.batchQueued) return;
    this.batchQueued = true;
    process.nextTick(this.endBatch);
  }

  private reconnected(): void {
    this.gone = null;
    this.listener?.backEndReplaced();
  }
}
