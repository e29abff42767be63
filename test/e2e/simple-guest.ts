/** A front end for tests: one request at a time, by Promise. */
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
} from '../../lib/ring';

const SECTOR_BYTES = 512;

export class SimpleGuest {
  private guest!: ShmGuest;
  private readonly waiting = new Map<number, (status: number) => void>();

  static async open(deviceDirectory: string): Promise<SimpleGuest> {
    const simple = new SimpleGuest();
    simple.guest = await ShmGuest.open(deviceDirectory, {
      completed: (slot, status) => simple.waiting.get(slot)?.(status),
    });
    return simple;
  }

  /** Resolves to the status and, for a read, the data. */
  async read(sector: number, count: number): Promise<{ status: number; data: Buffer }> {
    const slot = this.guest.acquireSlot();
    const status = await this.submit(slot, BLKIF_OP_READ, sector, count);
    const data = Buffer.from(this.guest.slotMemory(slot).subarray(0, count * SECTOR_BYTES));
    this.guest.releaseSlot(slot);
    return { status, data };
  }

  async write(sector: number, data: Buffer): Promise<number> {
    const slot = this.guest.acquireSlot();
    data.copy(this.guest.slotMemory(slot));
    return this.finish(slot, BLKIF_OP_WRITE, sector, data.length / SECTOR_BYTES);
  }

  async flush(): Promise<number> {
    return this.finish(this.guest.acquireSlot(), BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
  }

  async discard(sector: number, count: number): Promise<number> {
    return this.finish(this.guest.acquireSlot(), BLKIF_OP_DISCARD, sector, count);
  }

  close(): void {
    this.guest.close();
  }

  private async finish(
    slot: number,
    operation: number,
    sector: number,
    count: number,
  ): Promise<number> {
    const status = await this.submit(slot, operation, sector, count);
    this.guest.releaseSlot(slot);
    return status;
  }

  private submit(slot: number, operation: number, sector: number, count: number): Promise<number> {
    return new Promise((resolve) => {
      this.waiting.set(slot, resolve);
      this.guest.submit(slot, operation, sector, count);
      this.guest.push();
    });
  }
}
