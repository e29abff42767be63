/** The chunk transfers of a VBD: made when first needed, never given to the garbage collector. */
import { ChunkIo } from '../store/chunk-io';

export class TransferPool {
  private free: ChunkIo | null = null;
  private takenCount = 0;

  constructor(private readonly limit: number) {}

  /** How many more can be taken now. */
  get available(): number {
    return this.limit - this.takenCount;
  }

  /** A transfer to fill; the caller has asked `available` first. */
  take(): ChunkIo {
    this.takenCount++;
    const io = this.free;
    if (io === null) return new ChunkIo();
    this.free = io.next;
    io.next = null;
    return io;
  }

  give(io: ChunkIo): void {
    this.takenCount--;
    io.next = this.free;
    this.free = io;
  }
}
