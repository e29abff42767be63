/** A guest: writes values that nobody else writes, reads them, flushes, discards. */
import type { Clock } from '../../lib/clock';
import { SECTOR_BYTES } from '../../lib/sector';
import { heapArea } from '../../lib/store/memory-area';
import {
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_OKAY,
  type RequestOperation,
  type RequestSource,
  type VbdRequest,
} from '../../lib/vbd/request';
import type { Vbd } from '../../lib/vbd/vbd';
import { fillSectors } from '../volume/doubles/media';
import type { Random } from '../volume/doubles/random';
import type { Change, Referee } from './referee';
import type { SimProcess } from './sim-clock';

/** Few places, so that what happens meets. */
export const CHUNKS = 10;
export const CHUNK_SECTORS = 128;
const PLACES_PER_CHUNK = 4;
const IN_FLIGHT_MAX = 4;
const THINK_MS_MAX = 500;

export interface GuestSetting {
  readonly process: SimProcess;
  readonly clock: Clock;
  readonly vbd: Vbd;
  readonly epoch: number;
  readonly referee: Referee;
  readonly random: Random;
  /** A value that no guest has written. */
  readonly newValue: () => number;
}

interface Pending {
  readonly start: number;
  readonly change: Change | null;
}

export class SimGuest {
  private inFlight = 0;
  private isQuiet = false;

  constructor(private readonly setting: GuestSetting) {}

  start(): void {
    this.think();
  }

  /** Asks for nothing more. */
  quieten(): void {
    this.isQuiet = true;
  }

  /** Writes, flushes and reads all that was ever written to; resolves to whether all went well. */
  async readBack(): Promise<boolean> {
    this.quieten();
    const statuses: Promise<number>[] = [];
    const ask = (operation: RequestOperation, sector: number, count: number): void => {
      statuses.push(new Promise((resolve) => this.submit(operation, sector, count, resolve)));
    };
    ask(REQUEST_WRITE, this.setting.random.below(PLACES_PER_CHUNK), 1);
    ask(REQUEST_FLUSH, 0, 0);
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      ask(REQUEST_READ, chunk * CHUNK_SECTORS, PLACES_PER_CHUNK);
    }
    this.setting.vbd.kick();
    return (await Promise.all(statuses)).every((status) => status === STATUS_OKAY);
  }

  private think(): void {
    const { clock, random, vbd } = this.setting;
    clock.setTimer(random.next() * THINK_MS_MAX, () => {
      if (this.isQuiet) return;
      for (let i = random.below(3); i >= 0 && this.inFlight < IN_FLIGHT_MAX; i--) this.ask();
      vbd.kick();
      this.think();
    });
  }

  private ask(): void {
    const { random } = this.setting;
    const chunk = random.below(CHUNKS);
    const place = random.below(PLACES_PER_CHUNK);
    const sector = chunk * CHUNK_SECTORS + place;
    const dice = random.next();
    if (dice < 0.45) {
      this.submit(REQUEST_WRITE, sector, 1 + random.below(PLACES_PER_CHUNK - place));
    } else if (dice < 0.65) {
      this.submit(REQUEST_READ, sector, 1 + random.below(PLACES_PER_CHUNK - place));
    } else if (dice < 0.85) this.submit(REQUEST_FLUSH, 0, 0);
    else if (dice < 0.95) this.submit(REQUEST_DISCARD, chunk * CHUNK_SECTORS, CHUNK_SECTORS);
    else this.submit(REQUEST_WRITE_ZEROES, sector, 1);
  }

  private submit(
    operation: RequestOperation,
    sector: number,
    sectorCount: number,
    done: (status: number) => void = () => {},
  ): void {
    const { vbd } = this.setting;
    const request = vbd.acquire();
    if (request === null) throw new Error('a few requests need no more than the pool holds');
    const carriesData = operation === REQUEST_READ || operation === REQUEST_WRITE;
    request.operation = operation;
    request.sector = sector;
    request.sectorCount = sectorCount;
    request.forceUnitAccess = operation === REQUEST_WRITE && this.setting.random.chance(0.1);
    request.memory = heapArea(carriesData ? sectorCount * SECTOR_BYTES : 0);
    request.runCount = carriesData ? 1 : 0;
    request.runOffsets[0] = 0;
    request.runLengths[0] = request.memory.bytes.length;
    const pending = this.note(request);
    if (pending.change !== null) fillSectors(request.memory.bytes, pending.change.value);
    request.source = this.sourceOf(pending, done);
    this.inFlight++;
    vbd.submit(request);
  }

  private note({ operation, sector, sectorCount }: VbdRequest): Pending {
    const { history } = this.setting.referee;
    if (operation === REQUEST_READ) return { start: history.beginRead(), change: null };
    if (operation === REQUEST_FLUSH) return { start: history.now(), change: null };
    const value = operation === REQUEST_WRITE ? this.setting.newValue() : 0;
    const isOptional = operation === REQUEST_DISCARD;
    const change = history.begin(value, sector, sectorCount, { isOptional });
    return { start: change.start, change };
  }

  private sourceOf(pending: Pending, done: (status: number) => void): RequestSource {
    const { process, epoch, referee, vbd } = this.setting;
    return {
      requestDone: (request) => {
        this.inFlight--;
        if (referee.answered(process, epoch, request.status)) {
          referee.check(() => this.answered(request, pending));
        }
        const { status } = request;
        vbd.release(request);
        done(status);
      },
      batchDone: () => {},
    };
  }

  private answered(request: VbdRequest, { start, change }: Pending): void {
    const { history, tally } = this.setting.referee;
    const isOkay = request.status === STATUS_OKAY;
    if (change !== null) {
      if (isOkay) history.succeed(change, request.forceUnitAccess);
      else history.fail(change);
      if (isOkay) tally.writes++;
    } else if (request.operation === REQUEST_READ) {
      if (isOkay) history.checkRead(request.sector, request.memory.bytes, start);
      history.endRead(start);
      if (isOkay) tally.reads++;
    } else if (isOkay) {
      history.flushed(start);
      tally.flushes++;
    }
  }
}
