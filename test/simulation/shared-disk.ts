/**
 * A directory that every host mounts, and a chunk store on it. What a kernel has taken lands some
 * time later, also where its process was stopped or killed by then; what is not synced is lost with
 * the host's power, or not.
 */
import { assert } from '../../lib/assert';
import { SECTOR_BYTES } from '../../lib/sector';
import { CHUNK_READ, type ChunkIo } from '../../lib/store/chunk-io';
import type { ChunkStore, ErrnoCallback } from '../../lib/store/chunk-store';
import type { Random } from '../volume/doubles/random';
import { fillSectors } from '../volume/doubles/media';
import type { SimProcess } from './sim-clock';

/** A value that no sync has made durable. */
interface Unsynced {
  readonly process: SimProcess;
  readonly serial: number;
  readonly value: number;
}

interface Sector {
  durable: number;
  unsynced: Unsynced[];
}

/** A change that some kernel carries. */
interface InFlight {
  readonly process: SimProcess;
  readonly land: (survives: () => boolean) => void;
}

/** Told of every change at the moment at which all can see it. */
export type LandingObserver = (epoch: number, what: string) => void;

const SETTLE_POLL_MS = 20;

export class SharedDisk {
  private readonly sectors = new Map<number, Sector>();
  private readonly inFlight = new Set<InFlight>();
  private serial = 0;

  constructor(
    readonly random: Random,
    /** What a kernel has taken lands within so long. */
    readonly landingMsMax: number,
  ) {}

  now(): number {
    return this.serial;
  }

  read(at: number): number {
    const sector = this.sectors.get(at);
    if (sector === undefined) return 0;
    return sector.unsynced[sector.unsynced.length - 1]?.value ?? sector.durable;
  }

  write(process: SimProcess, at: number, value: number): void {
    let sector = this.sectors.get(at);
    if (sector === undefined) this.sectors.set(at, (sector = { durable: 0, unsynced: [] }));
    sector.unsynced.push({ process, serial: this.serial++, value });
  }

  /** Only those that hold something: what was never written need not be punched. */
  punch(process: SimProcess, first: number, count: number, survives: () => boolean): void {
    for (const at of this.sectors.keys()) {
      if (at >= first && at < first + count && survives()) this.write(process, at, 0);
    }
  }

  /** Of one process, what was there before `serial`; of all where it is null. */
  sync(process: SimProcess | null, serial: number): void {
    for (const sector of this.sectors.values()) {
      const { unsynced } = sector;
      const isCovered = (change: Unsynced): boolean =>
        (process === null || change.process === process) && change.serial < serial;
      const last = unsynced.findLastIndex(isCovered);
      if (last < 0) continue;
      sector.durable = unsynced[last].value;
      // What is older on the same sector is overwritten, whoever wrote it.
      unsynced.splice(0, last + 1);
    }
  }

  carry(change: InFlight): void {
    this.inFlight.add(change);
  }

  /** False where it is gone: its host's power was cut. */
  landed(change: InFlight): boolean {
    return this.inFlight.delete(change);
  }

  isCarriedFor(isMeant: (process: SimProcess) => boolean): boolean {
    return [...this.inFlight].some(({ process }) => isMeant(process));
  }

  powerCut(isHit: (process: SimProcess) => boolean): void {
    const { random } = this;
    const survival = random.pick([0, 0.5, 1]);
    for (const change of this.inFlight) {
      if (!isHit(change.process)) continue;
      this.inFlight.delete(change);
      if (random.chance(survival)) change.land(() => random.chance(0.5));
    }
    for (const sector of this.sectors.values()) {
      sector.unsynced = sector.unsynced.filter(
        ({ process }) => !isHit(process) || random.chance(survival),
      );
    }
  }
}

export class SharedStore implements ChunkStore {
  readonly kind = 'shared';
  onBatchEnd: () => void = () => {};
  private queued: ChunkIo[] = [];

  constructor(
    private readonly disk: SharedDisk,
    private readonly process: SimProcess,
    readonly chunkBytes: number,
    private readonly epoch: number,
    private readonly observer: LandingObserver,
  ) {}

  submit(io: ChunkIo): void {
    assert(io.offset + io.length <= this.chunkBytes, 'a transfer stays within its chunk');
    this.queued.push(io);
  }

  kick(): void {
    for (const io of this.queued.splice(0)) {
      const end = (): void => {
        io.errno = 0;
        io.owner.chunkIoDone(io);
      };
      if (io.operation === CHUNK_READ) this.start(() => this.read(io), end);
      else {
        this.startChange(
          `write of ${this.nameOf(io)}`,
          (survives) => this.write(io, survives),
          end,
        );
      }
    }
  }

  sync(done: ErrnoCallback): void {
    const serial = this.disk.now();
    this.start(
      () => this.disk.sync(this.process, serial),
      () => done(0),
    );
  }

  punch(layer: number, chunk: number, offset: number, length: number, done: ErrnoCallback): void {
    const first = this.sectorAt(layer, chunk, offset);
    const count = length / SECTOR_BYTES;
    this.startChange(
      `punch of chunk ${chunk}`,
      (survives) => this.disk.punch(this.process, first, count, survives),
      () => done(0),
    );
  }

  /** Waits for what dead processes of this host left in its kernel, as the directory store does. */
  async settleLayer(): Promise<void> {
    const { host } = this.process;
    const isLeft = (process: SimProcess): boolean => process.host === host && !process.isAlive;
    do {
      await new Promise<void>((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    } while (this.disk.isCarriedFor(isLeft));
    this.disk.sync(null, this.disk.now());
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
  }

  private read(io: ChunkIo): void {
    const first = this.sectorAt(io.layer, io.chunk, io.offset);
    for (let at = 0; at < io.length; at += SECTOR_BYTES) {
      const to = io.memoryOffset + at;
      const value = this.disk.read(first + at / SECTOR_BYTES);
      fillSectors(io.memory.bytes.subarray(to, to + SECTOR_BYTES), value);
    }
  }

  private write(io: ChunkIo, survives: () => boolean): void {
    const first = this.sectorAt(io.layer, io.chunk, io.offset);
    for (let at = 0; at < io.length; at += SECTOR_BYTES) {
      const value = io.memory.bytes.readUInt32LE(io.memoryOffset + at);
      if (survives()) this.disk.write(this.process, first + at / SECTOR_BYTES, value);
    }
  }

  private startChange(
    what: string,
    change: (survives: () => boolean) => void,
    end: () => void,
  ): void {
    const { disk, process, epoch } = this;
    const inFlight: InFlight = {
      process,
      land: (survives) => {
        this.observer(epoch, what);
        change(survives);
      },
    };
    disk.carry(inFlight);
    this.start(() => {
      if (disk.landed(inFlight)) inFlight.land(() => true);
    }, end);
  }

  /** It happens in the kernel, and its end is told to the process. */
  private start(happen: () => void, end: () => void): void {
    const { time } = this.process.host;
    time.schedule(this.landingMs(), () => {
      happen();
      this.process.deliver(() => {
        end();
        this.onBatchEnd();
      });
    });
  }

  private landingMs(): number {
    const { random, landingMsMax } = this.disk;
    const dice = random.next();
    if (dice < 0.8) return 0.2 + random.next() * 3;
    return random.next() * (dice < 0.95 ? 60 : landingMsMax);
  }

  private nameOf(io: ChunkIo): string {
    return `${io.length / SECTOR_BYTES} sectors at ${io.offset / SECTOR_BYTES} of chunk ${io.chunk}`;
  }

  private sectorAt(layer: number, chunk: number, offset: number): number {
    return layer * 1e6 + (chunk * this.chunkBytes + offset) / SECTOR_BYTES;
  }
}
