/** Carries out a discard or a write of zeros on a volume, in bounded steps. */
import { SECTOR_BYTES } from '../sector';
import { CHUNK_WRITE, ChunkIo, type ChunkIoOwner } from '../store/chunk-io';
import type { ErrnoCallback } from '../store/chunk-store';
import type { MemoryArea } from '../store/memory-area';
import { DISCARD_GRANULARITY_BYTES, DISCARD_STEP_CHUNKS, ZERO_WRITE_BYTES } from '../volume/limits';
import type { Volume } from '../volume/volume';

/**
 * Takes [startBytes, endBytes) out of the volume. A discard may leave what is smaller than the
 * granularity as it is; with `mustZero` the whole range reads as zeros afterwards.
 */
export class RangeDiscard {
  private at: number;
  private readonly end: number;
  private zeros: MemoryArea | null = null;

  constructor(
    private readonly volume: Volume,
    sector: number,
    sectorCount: number,
    private readonly mustZero: boolean,
    private readonly done: ErrnoCallback,
  ) {
    const unit = mustZero ? SECTOR_BYTES : DISCARD_GRANULARITY_BYTES;
    const start = sector * SECTOR_BYTES;
    const end = start + sectorCount * SECTOR_BYTES;
    const endOfVolume = volume.sectors * SECTOR_BYTES;
    this.at = Math.ceil(start / unit) * unit;
    this.end = end === endOfVolume ? end : Math.floor(end / unit) * unit;
  }

  start(): void {
    this.step(0);
  }

  private readonly step = (errno: number): void => {
    if (errno !== 0) return this.done(errno);
    const { chunkBytes } = this.volume;
    while (this.at < this.end) {
      const chunk = Math.floor(this.at / chunkBytes);
      const offset = this.at - chunk * chunkBytes;
      const length = Math.min(chunkBytes - offset, this.end - this.at);
      const reachesEnd = this.at + length === this.volume.sectors * SECTOR_BYTES;
      if (offset === 0 && (length === chunkBytes || reachesEnd)) {
        if (this.dropWholeChunks(chunk)) return;
        continue;
      }
      this.at += length;
      if (this.volume.nextOwnedChunk(chunk, chunk + 1) < 0) continue;
      if (this.volume.ownsInCurrentLayer(chunk)) {
        return this.volume.punchWithin(chunk, offset, length, this.step);
      }
      if (this.mustZero) return this.writeZeros(chunk, offset, length);
    }
    // Never from inside `start`: the caller counts on hearing of it later.
    setImmediate(() => {
      this.done(0);
      this.volume.onBatchEnd();
    });
  };

  /** One step of up to DISCARD_STEP_CHUNKS owned chunks; false where there was none. */
  private dropWholeChunks(first: number): boolean {
    const { chunkBytes } = this.volume;
    const reachesEnd = this.end === this.volume.sectors * SECTOR_BYTES;
    const end = reachesEnd ? Math.ceil(this.end / chunkBytes) : Math.floor(this.end / chunkBytes);
    const chunks: number[] = [];
    let next = first;
    while (chunks.length < DISCARD_STEP_CHUNKS) {
      const owned = this.volume.nextOwnedChunk(next, end);
      if (owned < 0) {
        next = end;
        break;
      }
      chunks.push(owned);
      next = owned + 1;
    }
    this.at = Math.min(next * chunkBytes, this.end);
    if (chunks.length === 0) return false;
    this.volume.dropChunks(chunks, this.step);
    return true;
  }

  private writeZeros(chunk: number, offset: number, length: number): void {
    const zeros = (this.zeros ??= this.volume.allocate(ZERO_WRITE_BYTES));
    const { volume, step } = this;
    const io = new ChunkIo();
    const end = offset + length;
    const owner: ChunkIoOwner = {
      chunkIoDone(ended) {
        const nextOffset = ended.offset + ended.length;
        if (ended.errno !== 0 || nextOffset === end) return step(ended.errno);
        ended.offset = nextOffset;
        ended.length = Math.min(zeros.bytes.length, end - nextOffset);
        volume.submit(ended);
        volume.kick();
      },
    };
    io.operation = CHUNK_WRITE;
    io.chunk = chunk;
    io.offset = offset;
    io.length = Math.min(zeros.bytes.length, length);
    io.memory = zeros;
    io.owner = owner;
    volume.submit(io);
    volume.kick();
  }
}
