/** A volume on doubles whose operations a test lets happen one by one. */
import type { Fence } from '../../lib/fence';
import { SECTOR_BYTES } from '../../lib/sector';
import { CHUNK_READ, CHUNK_WRITE, ChunkIo, type ChunkOperation } from '../../lib/store/chunk-io';
import { heapArea } from '../../lib/store/memory-area';
import { Volume } from '../../lib/volume/volume';
import { FakeAttachment, FakeMap, recordOf } from './doubles/fake-attachment';
import { FakeStore } from './doubles/fake-store';
import { fillSectors, Media } from './doubles/media';
import { Random } from './doubles/random';
import { type FaultKind, type Operation, Schedule } from './doubles/schedule';

export const CHUNK_BYTES = 8192;
export const CHUNKS = 16;

/** Keeps operations until they are let go, and notes their order. */
class ManualSchedule extends Schedule {
  readonly waiting: Operation[] = [];
  readonly log: FaultKind[] = [];

  override get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  override add(operation: Operation): void {
    this.waiting.push(operation);
    this.log.push(operation.kind);
  }
}

export class VolumeOnDoubles {
  readonly schedule = new ManualSchedule(new Random(1));
  readonly media: Media;
  volume!: Volume;
  attachment!: FakeAttachment;
  store!: FakeStore;
  batches = 0;
  private readonly random = new Random(1);

  private constructor(media: Media) {
    this.media = media;
  }

  static async open(
    options: { media?: Media; layer?: number; uncleanBefore?: boolean; fence?: Fence } = {},
  ): Promise<VolumeOnDoubles> {
    const made = new VolumeOnDoubles(options.media ?? new Media());
    const doubles = {
      media: made.media,
      schedule: made.schedule,
      random: made.random,
      chunkBytes: CHUNK_BYTES,
      processId: made.media.now() + 1,
    };
    const layer = options.layer ?? 1;
    const record = recordOf({ sizeBytes: CHUNKS * CHUNK_BYTES, chunkBytes: CHUNK_BYTES, layer });
    const map = new FakeMap(doubles);
    const { uncleanBefore = false, fence = null } = options;
    made.attachment = new FakeAttachment(record, map, uncleanBefore, fence);
    made.store = new FakeStore(doubles);
    made.volume = await Volume.open({ attachment: made.attachment, store: made.store });
    made.volume.onBatchEnd = () => made.batches++;
    return made;
  }

  /** The kinds of what waits now, in order. */
  get waiting(): FaultKind[] {
    return this.schedule.waiting.map(({ kind }) => kind);
  }

  /** Lets the oldest operation of a kind happen and end. */
  let(kind: FaultKind, errno = 0, happens = errno === 0): void {
    const at = this.schedule.waiting.findIndex((operation) => operation.kind === kind);
    if (at < 0) throw new Error(`no ${kind} waits, only [${this.waiting.join(', ')}]`);
    const [operation] = this.schedule.waiting.splice(at, 1);
    if (happens) operation.happen(0);
    operation.end(errno);
  }

  /** Lets everything happen until nothing waits. */
  letAll(): void {
    while (this.schedule.waiting.length > 0) this.let(this.schedule.waiting[0].kind);
  }

  /** Submits a write of one value; the result is filled in when it ends. */
  write(chunk: number, sector: number, value: number, sectors = 1): Ended {
    const ended = this.transfer(CHUNK_WRITE, chunk, sector, sectors);
    fillSectors(ended.io.memory.bytes, value);
    this.volume.submit(ended.io);
    this.volume.kick();
    return ended;
  }

  read(chunk: number, sector: number): Ended {
    const ended = this.transfer(CHUNK_READ, chunk, sector, 1);
    ended.io.memory.bytes.fill(0xee);
    this.volume.submit(ended.io);
    this.volume.kick();
    return ended;
  }

  /** Reads with everything let happen. */
  valueAt(chunk: number, sector: number): number {
    const ended = this.read(chunk, sector);
    this.letAll();
    if (ended.errno !== 0) throw new Error(`errno ${String(ended.errno)}`);
    return ended.io.memory.bytes.readUInt32LE(0);
  }

  private transfer(
    operation: ChunkOperation,
    chunk: number,
    sector: number,
    sectors: number,
  ): Ended {
    const io = new ChunkIo();
    const ended: Ended = { io, errno: null };
    io.operation = operation;
    io.chunk = chunk;
    io.offset = sector * SECTOR_BYTES;
    io.length = sectors * SECTOR_BYTES;
    io.memory = heapArea(io.length);
    io.owner = {
      chunkIoDone: () => {
        if (ended.errno !== null) throw new Error('a transfer ended twice');
        ended.errno = io.errno;
      },
    };
    return ended;
  }
}

/** errno is null until the transfer has ended. */
export interface Ended {
  readonly io: ChunkIo;
  errno: number | null;
}
