/** A chunk store on `Media`, whose operations end when the schedule says so. */
import { assert } from '../../../lib/assert';
import { SECTOR_BYTES } from '../../../lib/sector';
import { CHUNK_READ, type ChunkIo } from '../../../lib/store/chunk-io';
import type { ChunkStore, ErrnoCallback } from '../../../lib/store/chunk-store';
import type { Media } from './media';
import type { Random } from './random';
import type { FaultKind, Schedule } from './schedule';

export interface FakeStoreOptions {
  readonly media: Media;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly chunkBytes: number;
  /** Which process this is. */
  readonly processId: number;
}

export class FakeStore implements ChunkStore {
  readonly kind = 'fake';
  readonly chunkBytes: number;
  onBatchEnd: () => void = () => {};
  /** The process died: nothing of it reaches the media any more. */
  isDead = false;
  /** Operations that it was given and began. */
  handedOver = 0;
  private isClosed = false;
  private queued: ChunkIo[] = [];

  constructor(private readonly options: FakeStoreOptions) {
    this.chunkBytes = options.chunkBytes;
  }

  submit(io: ChunkIo): void {
    assert(io.offset + io.length <= this.chunkBytes, 'a transfer stays within its chunk');
    this.queued.push(io);
  }

  kick(): void {
    assert(!this.isClosed, 'a closed store is kicked by nobody: its engine is gone');
    for (const io of this.queued.splice(0)) {
      if (io.operation === CHUNK_READ) this.startRead(io);
      else this.startWrite(io);
    }
  }

  sync(done: ErrnoCallback): void {
    const { media, processId } = this.options;
    const begin = media.now();
    this.start('sync', done, (fault) => {
      if (fault === 0) media.syncSectors(processId, begin);
    });
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    this.start('punch', done, (_, survives) => {
      this.change(layer, chunk, offset, length, null, survives);
    });
  }

  async settleLayer(layer: number): Promise<void> {
    this.options.media.syncLayer(layer);
  }

  async deleteLayer(): Promise<void> {}

  async usedBytes(): Promise<number> {
    return 0;
  }

  describe(): Readonly<Record<string, unknown>> {
    return { kind: this.kind };
  }

  async close(): Promise<void> {
    assert(this.queued.length === 0, 'a store is closed when idle');
    this.isClosed = true;
  }

  private startWrite(io: ChunkIo): void {
    const end = (errno: number): void => {
      io.errno = errno;
      io.owner.chunkIoDone(io);
    };
    this.start('write', end, (_, survives) => {
      const bytes = io.memory.bytes.subarray(io.memoryOffset, io.memoryOffset + io.length);
      this.change(io.layer, io.chunk, io.offset, io.length, bytes, survives);
    });
  }

  private startRead(io: ChunkIo): void {
    const end = (errno: number): void => {
      io.errno = errno;
      io.owner.chunkIoDone(io);
    };
    this.start('read', end, () => {
      const first = (io.chunk * this.chunkBytes + io.offset) / SECTOR_BYTES;
      for (let at = 0; at < io.length; at += SECTOR_BYTES) {
        const value = this.options.media.readSector(io.layer, first + at / SECTOR_BYTES);
        const to = io.memoryOffset + at;
        if (value === null) io.memory.bytes.fill(0, to, to + SECTOR_BYTES);
        else value.copy(io.memory.bytes, to);
      }
    });
  }

  private change(
    layer: number,
    chunk: number,
    offset: number,
    length: number,
    bytes: Buffer | null,
    survives: () => boolean,
  ): void {
    const { media, processId } = this.options;
    const first = (chunk * this.chunkBytes + offset) / SECTOR_BYTES;
    for (let at = 0; at < length; at += SECTOR_BYTES) {
      if (!survives()) continue;
      const value = bytes === null ? null : Buffer.from(bytes.subarray(at, at + SECTOR_BYTES));
      media.writeSector(processId, layer, first + at / SECTOR_BYTES, value);
    }
  }

  private start(
    kind: FaultKind,
    done: ErrnoCallback,
    happen: (fault: number, survives: () => boolean) => void,
  ): void {
    if (this.isDead) return;
    this.handedOver++;
    const { random } = this.options;
    const someSectors = (): boolean => random.chance(0.5);
    this.options.schedule.add({
      kind,
      happen: (fault) => happen(fault, fault === 0 ? () => true : someSectors),
      happenPartly: () => happen(0, someSectors),
      end: (fault) => {
        done(fault);
        this.onBatchEnd();
      },
    });
  }
}
