/**
 * Drives a VBD on a volume on doubles with random requests, kills, power cuts, restarts and sizes,
 * and checks every read against the reference disk.
 */
import type { MapStorage } from '../../../lib/coordination/coordination';
import { SECTOR_BYTES } from '../../../lib/sector';
import type { ChunkStore } from '../../../lib/store/chunk-store';
import { heapArea } from '../../../lib/store/memory-area';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_OKAY,
  type RequestOperation,
  type RequestSource,
  type VbdRequest,
} from '../../../lib/vbd/request';
import { Vbd } from '../../../lib/vbd/vbd';
import { Volume } from '../../../lib/volume/volume';
import { FakeAttachment, FakeMap, recordOf } from './fake-attachment';
import { FakeStore } from './fake-store';
import { fillSectors, Media } from './media';
import { Random } from './random';
import { type Faults, Schedule } from './schedule';
import { type Change, SectorHistory } from './sector-history';

const CHUNK_BYTES = 16 * 1024;
const CHUNK_SECTORS = CHUNK_BYTES / SECTOR_BYTES;
/** At first: six chunks and a part of one. */
const SECTORS = 6 * CHUNK_SECTORS + 9;
const SECTORS_MAX = 9 * CHUNK_SECTORS + 5;
const REQUEST_SECTORS_MAX = 3 * CHUNK_SECTORS;
const IN_FLIGHT_MAX = 12;
const SURVIVALS = [0, 0, 0.5, 1];

/** What the code under test is made to run on instead: for planting bugs. */
export interface Wrappers {
  store?(store: ChunkStore, media: Media): ChunkStore;
  map?(map: MapStorage, media: Media): MapStorage;
}

export interface RandomDiskOptions {
  readonly seed: number;
  readonly steps: number;
  readonly wrappers?: Wrappers;
  readonly faults?: Faults;
}

interface Pending {
  readonly start: number;
  readonly change: Change | null;
}

/** One process's life. */
interface Life {
  readonly store: FakeStore;
  readonly map: FakeMap;
  readonly vbd: Vbd;
}

/** What happened, so that a test can tell that it tried something. */
export interface Tally {
  requests: number;
  kills: number;
  powerCuts: number;
  snapshots: number;
  copiedChunks: number;
  failures: number;
  growths: number;
  shrinks: number;
}

export function emptyTally(): Tally {
  return {
    requests: 0,
    kills: 0,
    powerCuts: 0,
    snapshots: 0,
    copiedChunks: 0,
    failures: 0,
    growths: 0,
    shrinks: 0,
  };
}

export async function runRandomDisk(options: RandomDiskOptions): Promise<Tally> {
  const disk = new RandomDisk(options);
  try {
    return await disk.run();
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${(error as Error).message}`, { cause: error });
  }
}

class RandomDisk {
  private readonly random: Random;
  private readonly media = new Media();
  private readonly schedule: Schedule;
  private readonly history = new SectorHistory(SECTORS_MAX);
  private readonly tally = emptyTally();
  private life!: Life;
  private volume!: Volume;
  private layer = 2;
  /** In the durable record. */
  private sectors = SECTORS;
  private resizesUnderWay = 0;
  /** What a shrink does to the sectors that it cuts off, until it has ended. */
  private shrink: { readonly sectors: number; readonly change: Change } | null = null;
  private isUnclean = false;
  private lives = 0;
  private inFlight = 0;
  private nextValue = 1;
  private failure: Error | null = null;

  constructor(private readonly options: RandomDiskOptions) {
    this.random = new Random(options.seed);
    this.schedule = new Schedule(this.random);
  }

  async run(): Promise<Tally> {
    this.presetSnapshot();
    await this.open();
    for (let step = 0; step < this.options.steps; step++) {
      const what = this.random.next();
      if (what < 0.006) await this.crash();
      else if (what < 0.01) await this.restart();
      else if (what < 0.014) this.grow();
      else if (what < 0.35 && this.inFlight < IN_FLIGHT_MAX) this.submitSome();
      else await this.advance();
    }
    await this.restart();
    await this.readAll();
    return this.tally;
  }

  /** Layer 1 is frozen and holds some chunks. */
  private presetSnapshot(): void {
    for (const chunk of [1, 2, 4, 6]) {
      const first = chunk * CHUNK_SECTORS;
      const count = Math.min(CHUNK_SECTORS, SECTORS - first);
      const value = this.nextValue++;
      const bytes = Buffer.alloc(SECTOR_BYTES);
      fillSectors(bytes, value);
      for (let s = first; s < first + count; s++) this.media.writeSector(0, 1, s, bytes);
      this.media.setEntry(0, chunk, 1);
      this.history.preset(first, count, value);
    }
    this.media.syncLayer(1);
    this.media.syncEntries(this.media.now());
  }

  private async open(): Promise<void> {
    const doubles = {
      media: this.media,
      schedule: this.schedule,
      random: this.random,
      chunkBytes: CHUNK_BYTES,
      processId: ++this.lives,
    };
    const store = new FakeStore(doubles);
    const map = new FakeMap(doubles);
    const { wrappers } = this.options;
    const record = recordOf({
      sizeBytes: this.sectors * SECTOR_BYTES,
      chunkBytes: CHUNK_BYTES,
      layer: this.layer,
      frozenLayers: Array.from({ length: this.layer - 1 }, (_, i) => i + 1),
    });
    const wrappedMap = wrappers?.map?.(map, this.media) ?? map;
    const attachment = new FakeAttachment(record, wrappedMap, this.isUnclean);
    attachment.keepSize = (sizeBytes) => this.keepSize(sizeBytes);
    const volume = await Volume.open({
      attachment,
      store: wrappers?.store?.(store, this.media) ?? store,
    });
    this.isUnclean = true;
    this.life = { store, map, vbd: new Vbd(volume) };
    this.volume = volume;
  }

  /** May have been done where it fails, as where a reply is lost. */
  private keepSize(sizeBytes: number): Promise<void> {
    const happen = (): void => void (this.sectors = sizeBytes / SECTOR_BYTES);
    return new Promise((resolve, reject) => {
      this.schedule.add({
        kind: 'commit',
        happen: (fault) => void ((fault === 0 || this.random.chance(0.5)) && happen()),
        happenPartly: () => void (this.random.chance(0.5) && happen()),
        end: (fault) => (fault === 0 ? resolve() : reject(new Error(`errno ${fault}`))),
      });
    });
  }

  /** While requests go on; one that fails may have changed the record. */
  private grow(): void {
    if (this.resizesUnderWay > 0) return;
    const { sectors } = this.life.vbd;
    this.resize(sectors + this.random.below(SECTORS_MAX - sectors + 1)).then(
      () => this.tally.growths++,
      () => {},
    );
  }

  private async resize(sectors: number): Promise<void> {
    const { life } = this;
    this.resizesUnderWay++;
    try {
      await life.vbd.resize(sectors * SECTOR_BYTES);
    } finally {
      if (this.life === life) this.resizesUnderWay--;
    }
  }

  /** While no request is there; sometimes the process dies in the middle. */
  private async makeSmaller(): Promise<void> {
    const { vbd } = this.life;
    const sectors = 1 + this.random.below(vbd.sectors);
    const count = vbd.sectors - sectors;
    if (count === 0) return;
    const change = this.history.begin(0, sectors, count, { isOptional: false });
    this.shrink = { sectors, change };
    this.resize(sectors).catch((error: Error) => (this.failure ??= error));
    if (this.random.chance(0.3)) {
      for (let steps = this.random.below(12); steps > 0; steps--) await this.advance();
      if (this.resizesUnderWay > 0) return this.crash();
    }
    await this.settle(() => this.resizesUnderWay > 0);
    this.tally.shrinks++;
    this.endShrink();
  }

  /** A smaller size is told only when what it cuts off is durably empty. */
  private endShrink(): void {
    const { shrink } = this;
    if (shrink !== null && shrink.sectors === this.sectors) {
      this.history.succeed(shrink.change, true);
    }
    this.shrink = null;
  }

  private async crash(): Promise<void> {
    this.endLife();
    this.endShrink();
    if (this.random.chance(0.5)) {
      this.tally.kills++;
      this.history.killed();
    } else {
      this.tally.powerCuts++;
      this.history.powerCut();
      this.media.powerCut(this.random, {
        sectors: this.random.pick(SURVIVALS),
        entries: this.random.pick(SURVIVALS),
      });
    }
    await this.open();
    await this.readAll();
  }

  private endLife(): void {
    this.tally.copiedChunks += this.volume.counters.copiedChunks;
    this.schedule.die();
    this.life.store.isDead = true;
    this.life.map.isDead = true;
    this.inFlight = 0;
    this.resizesUnderWay = 0;
  }

  /** Ends cleanly; half the time a snapshot is taken before the next start. */
  private async restart(): Promise<void> {
    this.schedule.faults = null;
    await this.settle(() => this.inFlight > 0 || this.resizesUnderWay > 0);
    if (this.random.chance(0.3)) await this.makeSmaller();
    let isClosed = false;
    const start = this.history.now();
    const closing = this.life.vbd.close().then(() => {
      isClosed = true;
    });
    await this.settle(() => !isClosed);
    await closing;
    this.history.flushed(start);
    this.endLife();
    this.isUnclean = false;
    if (this.random.chance(0.5)) {
      this.tally.snapshots++;
      this.layer++;
    }
    await this.open();
  }

  /** Reads the whole disk, without faults. */
  private async readAll(): Promise<void> {
    this.schedule.faults = null;
    const { sectors } = this.life.vbd;
    for (let sector = 0; sector < sectors; sector += REQUEST_SECTORS_MAX) {
      this.submit(REQUEST_READ, sector, Math.min(REQUEST_SECTORS_MAX, sectors - sector), false);
    }
    this.life.vbd.kick();
    await this.settle(() => this.inFlight > 0);
  }

  private submitSome(): void {
    this.schedule.faults = this.options.faults ?? null;
    for (let i = this.random.below(4); i >= 0; i--) this.submitOne();
    this.life.vbd.kick();
  }

  private submitOne(): void {
    const operation = this.random.pick<RequestOperation>([
      REQUEST_READ,
      REQUEST_READ,
      REQUEST_WRITE,
      REQUEST_WRITE,
      REQUEST_WRITE,
      REQUEST_FLUSH,
      REQUEST_BARRIER,
      REQUEST_DISCARD,
      REQUEST_WRITE_ZEROES,
    ]);
    if (operation === REQUEST_FLUSH && this.random.chance(0.7)) {
      return this.submit(operation, 0, 0, false);
    }
    const { sectors } = this.life.vbd;
    const wholeChunks = this.random.chance(0.3);
    let first = this.random.below(sectors);
    let count = 1 + this.random.below(this.random.chance(0.5) ? 8 : REQUEST_SECTORS_MAX);
    if (wholeChunks) {
      first -= first % CHUNK_SECTORS;
      count = Math.ceil(count / CHUNK_SECTORS) * CHUNK_SECTORS;
    }
    const isForced = operation === REQUEST_WRITE && this.random.chance(0.1);
    this.submit(operation, first, Math.min(count, sectors - first), isForced);
  }

  private submit(
    operation: RequestOperation,
    sector: number,
    sectorCount: number,
    forceUnitAccess: boolean,
  ): void {
    const { vbd } = this.life;
    const request = vbd.acquire();
    if (request === null) throw new Error('a few requests need no more than the pool holds');
    const memory = heapArea(sectorCount * SECTOR_BYTES);
    request.operation = operation;
    request.sector = sector;
    request.sectorCount = sectorCount;
    request.forceUnitAccess = forceUnitAccess;
    request.memory = memory;
    this.cutIntoRuns(request, sectorCount);
    const pending = this.note(request);
    if (pending.change !== null) fillSectors(memory.bytes, pending.change.value);
    else memory.bytes.fill(0xee);
    request.source = this.sourceOf(pending);
    this.inFlight++;
    this.tally.requests++;
    vbd.submit(request);
  }

  private cutIntoRuns(request: VbdRequest, sectorCount: number): void {
    request.runCount = 0;
    for (let at = 0; at < sectorCount; request.runCount++) {
      const length = Math.min(sectorCount - at, 1 + this.random.below(40));
      request.runOffsets[request.runCount] = at * SECTOR_BYTES;
      request.runLengths[request.runCount] = length * SECTOR_BYTES;
      at += length;
    }
  }

  private note(request: VbdRequest): Pending {
    const { operation, sector, sectorCount } = request;
    const { history } = this;
    if (operation === REQUEST_READ) return { start: history.beginRead(), change: null };
    if (sectorCount === 0) return { start: history.now(), change: null };
    const isZero = operation === REQUEST_DISCARD || operation === REQUEST_WRITE_ZEROES;
    const isOptional = operation === REQUEST_DISCARD;
    const value = isZero ? 0 : this.nextValue++;
    const change = history.begin(value, sector, sectorCount, { isOptional });
    return { start: change.start, change };
  }

  private sourceOf(pending: Pending): RequestSource {
    const { life } = this;
    return {
      requestDone: (request) => {
        if (this.life !== life || life.store.isDead) return;
        this.inFlight--;
        try {
          this.answered(request, pending);
        } catch (error) {
          this.failure ??= error as Error;
        }
        life.vbd.release(request);
      },
      batchDone: () => {},
    };
  }

  private answered(request: VbdRequest, { start, change }: Pending): void {
    const { operation } = request;
    const isOkay = request.status === STATUS_OKAY;
    if (!isOkay) this.tally.failures++;
    if (change !== null) {
      if (isOkay) {
        this.history.succeed(change, request.forceUnitAccess || operation === REQUEST_BARRIER);
      } else {
        this.history.fail(change);
      }
    } else if (operation === REQUEST_READ) {
      if (isOkay) this.history.checkRead(request.sector, request.memory.bytes, start);
      this.history.endRead(start);
    }
    const isFlush = operation === REQUEST_FLUSH || operation === REQUEST_BARRIER;
    if (isOkay && isFlush) this.history.flushed(start);
  }

  private async settle(isUnfinished: () => boolean): Promise<void> {
    for (let i = 0; isUnfinished(); i++) {
      if (i > 100_000) throw new Error('requests are left unanswered');
      await this.advance();
    }
  }

  private async advance(): Promise<void> {
    if (!this.schedule.isEmpty) this.schedule.step();
    if (this.schedule.isEmpty || this.random.chance(0.2)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (this.failure !== null) throw this.failure;
  }
}
