/** Makes up a mixed trace, for demonstrations and tests: hard on whatever serves it. */
import { TapdiskError } from '../errors';
import { SECTOR_BYTES } from '../sector';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  type RequestOperation,
} from '../vbd/request';
import { Random } from './random';
import { PAGE_SECTORS, TraceRecord } from './trace-record';

export interface SynthesizeOptions {
  readonly seed: number;
  /** Requests to make. */
  readonly count: number;
  /** Size of the disk. */
  readonly sectors: number;
  /** Most requests fall within this many sectors from the disk's beginning. */
  readonly workingSetSectors: number;
  /** Boundaries that some requests are made to cross. */
  readonly chunkBytes: number;
  /** Percentages, drawn in the order flush, barrier, discard, read; the rest are writes. */
  readonly readPercent: number;
  readonly flushPercent: number;
  readonly barrierPercent: number;
  readonly discardPercent: number;
  /** Mean time between two requests. */
  readonly intervalUs: number;
}

export const SYNTHESIZE_DEFAULTS = {
  chunkBytes: 4 * 1024 * 1024,
  readPercent: 45,
  flushPercent: 1,
  barrierPercent: 0.5,
  discardPercent: 0.5,
  intervalUs: 100,
} as const;

/** Sectors of a plain ring request of 11 segments: 44 KiB. */
const REQUEST_SECTORS_MAX = 88;
/** Common sizes in sectors, and how often out of 100: 4, 8, 16 and 44 KiB. */
const SIZES: readonly (readonly [sectors: number, weight: number])[] = [
  [8, 45],
  [16, 10],
  [32, 10],
  [88, 15],
];
/** Streams that read or write on where they were. */
const STREAMS = 3;
/** Places written lately, where most reads go: else a read would find little to verify. */
const RECENT_WRITES = 4096;
const DISCARD_SECTORS_MAX = 4096;

interface Place {
  sector: number;
  sectorCount: number;
}

/**
 * Yields `count` records, the same ones for the same options; each is valid until the next.
 * @throws TapdiskError TRACE_OPTIONS_INVALID
 */
export function* synthesize(options: SynthesizeOptions): Generator<TraceRecord> {
  checkOptions(options);
  const random = new Random(options.seed);
  const record = new TraceRecord();
  const places = new Places(options, random);
  for (let n = 0; n < options.count; n++) {
    record.timeUs += random.below(2 * options.intervalUs + 1);
    record.operation = chooseOperation(options, random);
    record.segmentCount = 0;
    if (record.operation === REQUEST_FLUSH) {
      record.sector = 0;
      record.sectorCount = 0;
    } else if (record.operation === REQUEST_DISCARD) {
      ({ sector: record.sector, sectorCount: record.sectorCount } = places.discard());
    } else {
      const place = record.operation === REQUEST_READ ? places.read() : places.write();
      record.sector = place.sector;
      // One in eight has its data in the middle of a page, as a guest's small buffers have.
      const first = random.below(8) === 0 ? random.below(PAGE_SECTORS) : 0;
      const fits = first + place.sectorCount <= REQUEST_SECTORS_MAX;
      record.setPacked(fits ? first : 0, place.sectorCount);
    }
    yield record;
  }
}

function chooseOperation(options: SynthesizeOptions, random: Random): RequestOperation {
  if (random.percent(options.flushPercent)) return REQUEST_FLUSH;
  if (random.percent(options.barrierPercent)) return REQUEST_BARRIER;
  if (random.percent(options.discardPercent)) return REQUEST_DISCARD;
  return random.percent(options.readPercent) ? REQUEST_READ : REQUEST_WRITE;
}

/** Where requests go. */
class Places {
  private readonly streams: number[];
  private readonly recent: Place[] = [];
  private readonly chunkSectors: number;
  private written = 0;

  constructor(
    private readonly options: SynthesizeOptions,
    private readonly random: Random,
  ) {
    this.chunkSectors = options.chunkBytes / SECTOR_BYTES;
    this.streams = Array.from({ length: STREAMS }, () => random.below(options.workingSetSectors));
  }

  write(): Place {
    const place = this.anywhere();
    this.recent[this.written++ % RECENT_WRITES] = place;
    return place;
  }

  read(): Place {
    if (this.recent.length === 0 || !this.random.percent(70)) return this.anywhere();
    const { sector, sectorCount } = this.random.pick(this.recent);
    // Beginning earlier and ending later takes neighbours' content in.
    const earlier = this.random.below(4);
    return this.clip(sector - earlier, sectorCount + earlier + this.random.below(4));
  }

  discard(): Place {
    const { random, chunkSectors } = this;
    const chunk = random.below(Math.ceil(this.options.workingSetSectors / chunkSectors));
    if (random.percent(30)) return this.clipTo(chunk * chunkSectors, chunkSectors);
    const at = chunk * chunkSectors + random.below(chunkSectors);
    return this.clipTo(at, 1 + random.below(DISCARD_SECTORS_MAX));
  }

  private anywhere(): Place {
    const { random, options } = this;
    const sectorCount = this.size();
    const kind = random.below(100);
    if (kind < 35) {
      const stream = random.below(STREAMS);
      const place = this.clip(this.streams[stream], sectorCount);
      const next = place.sector + place.sectorCount;
      this.streams[stream] =
        next >= options.workingSetSectors ? random.below(options.workingSetSectors) : next;
      return place;
    }
    if (kind < 45) return this.acrossChunks(sectorCount);
    if (kind < 46) return this.clip(options.sectors - random.below(sectorCount + 8), sectorCount);
    const at = random.below(options.workingSetSectors);
    const aligned = random.percent(75) ? at - (at % PAGE_SECTORS) : at;
    return this.clip(aligned, sectorCount);
  }

  private acrossChunks(sectorCount: number): Place {
    const boundaries = Math.floor(this.options.workingSetSectors / this.chunkSectors);
    const boundary = (1 + this.random.below(Math.max(1, boundaries))) * this.chunkSectors;
    return this.clip(boundary - 1 - this.random.below(sectorCount), sectorCount + 1);
  }

  private size(): number {
    let draw = this.random.below(100);
    for (const [sectors, weight] of SIZES) {
      draw -= weight;
      if (draw < 0) return sectors;
    }
    return 1 + this.random.below(REQUEST_SECTORS_MAX);
  }

  private clip(sector: number, sectorCount: number): Place {
    return this.clipTo(sector, Math.min(sectorCount, REQUEST_SECTORS_MAX));
  }

  /** Within the disk, of at least one sector. */
  private clipTo(sector: number, sectorCount: number): Place {
    const { sectors } = this.options;
    const at = Math.max(0, Math.min(sector, sectors - 1));
    return { sector: at, sectorCount: Math.min(sectorCount, sectors - at) };
  }
}

function checkOptions(options: SynthesizeOptions): void {
  const whole = (value: number, least: number): boolean =>
    Number.isSafeInteger(value) && value >= least;
  const faults: readonly (readonly [boolean, string])[] = [
    [whole(options.count, 0), 'the count is a whole number'],
    [whole(options.sectors, 1), 'the disk has at least one sector'],
    [
      whole(options.workingSetSectors, 1) && options.workingSetSectors <= options.sectors,
      'the working set lies within the disk',
    ],
    [
      whole(options.chunkBytes, SECTOR_BYTES) && options.chunkBytes % SECTOR_BYTES === 0,
      'the chunk size is a multiple of 512 bytes',
    ],
    [whole(options.intervalUs, 0), 'the interval is a whole number of µs'],
    [
      [
        options.readPercent,
        options.flushPercent,
        options.barrierPercent,
        options.discardPercent,
      ].every((percent) => percent >= 0 && percent <= 100),
      'each share is between 0 and 100 percent',
    ],
  ];
  const fault = faults.find(([holds]) => !holds);
  if (fault !== undefined) {
    throw new TapdiskError('TRACE_OPTIONS_INVALID', `no trace can be made unless ${fault[1]}`);
  }
}
