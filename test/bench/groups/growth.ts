/** What grows with volumes, with their number, and with their layers: time to attach, memory, IOPS. */
import { openPool } from '../../../lib/pool/open-pool';
import type { Attachment, MapEntry } from '../../../lib/coordination/coordination';
import type { TapdiskUnderTest } from '../../e2e/tapdisk-under-test';
import type { Load } from '../load';
import { proportionalBytes } from '../process-usage';
import { alternate, atMost, type Figure, type Line, type Ratio, type Row } from '../row';
import type { Extent } from '../ring-client';
import { median, summarise, type Sample } from '../sample';
import { ServedRing } from '../served-ring';
import { CHUNK_BYTES, DURATION_MS, GIB, KIB, MIB, ROUNDS, TIB } from '../settings';
import type { RowDone } from './group';

/** Chunks that loads go to, spread evenly over a volume of whatever size. */
const WORKING_CHUNKS = 64;
const VOLUME_BYTES = 256 * MIB;
const COMMIT_ENTRIES = 65_536;
const LOAD: Load = { operation: 'read', pattern: 'random', blockBytes: 4 * KIB, depth: 32 };
/** No writes: to a frozen layer's chunk they would copy it up. */
const READS = [LOAD];
const GROWN_WITHIN = 1.5;
const ATTACH_HEAD = 'attach ms';
const PSS_HEAD = 'PSS MiB';

export async function growth(done: RowDone): Promise<void> {
  done(await bySize());
  done(await byNumber());
  done(await byLayers());
}

/** Maps are full, as after years of use: each chunk is named, though only some hold data. */
async function bySize(): Promise<Row> {
  const sizes = [
    ['1 GiB', GIB],
    ['100 GiB', 100 * GIB],
    ['8 TiB', 8 * TIB],
  ] as const;
  const grown: Grown[] = [];
  for (const [name, sizeBytes] of sizes) {
    const served = await ServedRing.create({ path: 'direct', sizeBytes });
    await withAttachment(served.tapdisk, (attachment) => fillMap(attachment, sizeBytes));
    const strideBytes = sizeBytes / WORKING_CHUNKS;
    const extent = {
      firstBytes: 0,
      lengthBytes: CHUNK_BYTES,
      strideBytes: strideBytes - (strideBytes % CHUNK_BYTES),
      regions: WORKING_CHUNKS,
    };
    await served.start();
    await served.client.fill(extent);
    await served.stop();
    grown.push(await Grown.measureAttach(name, served, extent));
  }
  const lines = await linesOf(grown);
  const [smallest, , largest] = lines;
  const attach = largest.extra[ATTACH_HEAD] / smallest.extra[ATTACH_HEAD];
  const iops = (smallest.summary?.iops ?? 0) / (largest.summary?.iops ?? 1);
  const goal = atMost(GROWN_WITHIN);
  const ratios: Ratio[] = [
    { of: '1 GiB’s IOPS', value: iops, goal },
    { of: 'attach', value: attach, goal },
  ];
  const residentMib = (lines[1].summary?.residentBytes ?? 0) / MIB;
  const figures: Figure[] = [{ name: 'MiB', value: residentMib, goal: atMost(90) }];
  return {
    load: '4 KiB random read, depth 32, direct: volumes with full maps',
    lines: [smallest, { ...lines[1], figures }, { ...largest, ratios }],
  };
}

/** All rings are loaded at once; a line's IOPS are those of all, its memory the mean process's. */
async function byNumber(): Promise<Row> {
  const numbers = [1, 8, 32];
  const served: ServedRing[] = [];
  const lines: Line[] = [];
  const extent = evenly(VOLUME_BYTES);
  for (const number of numbers) {
    const attachMs: number[] = [];
    while (served.length < number) {
      const another = await ServedRing.create({ path: 'direct', sizeBytes: VOLUME_BYTES });
      attachMs.push(await timed(() => another.start()));
      await another.client.fill(extent);
      await another.warmUp(extent, READS);
      served.push(another);
    }
    const samples: Sample[] = [];
    const depth = Math.max(1, LOAD.depth / number);
    for (let round = 0; round < ROUNDS; round++) samples.push(await together(served, depth));
    const pss = served.map(({ pid }) => proportionalBytes(pid) / MIB);
    lines.push({
      who: `${number} attached, depth ${depth} each`,
      summary: summarise(samples),
      samples,
      extra: { [ATTACH_HEAD]: median(attachMs), [PSS_HEAD]: median(pss) },
      ratios: [],
      figures: [],
    });
  }
  for (const one of served) await one.stopAndRemove();
  return { load: '4 KiB random read, direct: VBDs on one host', lines };
}

async function together(served: readonly ServedRing[], depth: number): Promise<Sample> {
  const load = { ...LOAD, depth };
  const samples = await Promise.all(served.map((one) => one.run(load)));
  const sum = (of: (sample: Sample) => number | null): number =>
    samples.reduce((total, sample) => total + (of(sample) ?? 0), 0);
  return {
    requests: sum((sample) => sample.requests),
    iops: sum((sample) => sample.iops),
    mbPerSecond: sum((sample) => sample.mbPerSecond),
    latencyUsP50: median(samples.map((sample) => sample.latencyUsP50 ?? 0)),
    latencyUsP99: median(samples.map((sample) => sample.latencyUsP99 ?? 0)),
    userUs: sum((sample) => sample.userUs),
    systemUs: sum((sample) => sample.systemUs),
    residentBytes: sum((sample) => sample.residentBytes) / samples.length,
  };
}

/** Frozen layers that each own an equal share of the chunks; reads go to all of them. */
async function byLayers(): Promise<Row> {
  const grown: Grown[] = [];
  for (const frozen of [0, 1, 8]) {
    const served = await ServedRing.create({ path: 'direct', sizeBytes: VOLUME_BYTES });
    const layers = Math.max(1, frozen);
    for (let layer = 0; layer < layers; layer++) {
      await served.start();
      await served.client.fill(everyNth(layers, layer));
      await served.stop();
      if (frozen > 0) await withAttachment(served.tapdisk, startLayer);
    }
    grown.push(await Grown.measureAttach(`${frozen} frozen layers`, served, evenly(VOLUME_BYTES)));
  }
  return {
    load: '4 KiB random read, depth 32, direct: layers',
    lines: await linesOf(grown),
  };
}

/** A volume that has been attached several times for its time, and is attached now. */
class Grown {
  private constructor(
    readonly name: string,
    readonly served: ServedRing,
    readonly extent: Extent,
    readonly attachMs: number,
  ) {}

  static async measureAttach(name: string, served: ServedRing, extent: Extent): Promise<Grown> {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      if (round > 0) await served.stopServer();
      times.push(await timed(() => served.startServer()));
    }
    await served.stopServer();
    await served.start();
    await served.warmUp(extent, READS);
    return new Grown(name, served, extent, median(times));
  }
}

async function linesOf(grown: readonly Grown[]): Promise<Line[]> {
  const contestants = grown.map(({ name, served, extent }) => ({
    who: name,
    run: () => served.client.run(LOAD, DURATION_MS, served.pid, extent),
  }));
  const samples = await alternate(contestants);
  const lines = grown.map(({ name, served, attachMs }, index) => ({
    who: name,
    summary: summarise(samples[index]),
    samples: samples[index],
    extra: {
      [ATTACH_HEAD]: attachMs,
      [PSS_HEAD]: proportionalBytes(served.pid) / MIB,
    },
    ratios: [],
    figures: [],
  }));
  for (const { served } of grown) await served.stopAndRemove();
  return lines;
}

function evenly(sizeBytes: number): Extent {
  return { firstBytes: 0, lengthBytes: sizeBytes, strideBytes: sizeBytes, regions: 1 };
}

function everyNth(nth: number, first: number): Extent {
  const chunks = VOLUME_BYTES / CHUNK_BYTES;
  return {
    firstBytes: first * CHUNK_BYTES,
    lengthBytes: CHUNK_BYTES,
    strideBytes: nth * CHUNK_BYTES,
    regions: Math.ceil((chunks - first) / nth),
  };
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await run();
  return performance.now() - startedMs;
}

async function withAttachment(
  tapdisk: TapdiskUnderTest,
  use: (attachment: Attachment) => Promise<unknown>,
): Promise<void> {
  const [poolName, volume] = tapdisk.path.split('/');
  const pool = await openPool(poolName, { env: tapdisk.env });
  const attachment = await pool.coordination.attach(volume, { readOnly: false });
  await use(attachment);
  await attachment.release();
  await pool.close();
}

async function startLayer(attachment: Attachment): Promise<void> {
  await attachment.startLayer();
}

async function fillMap({ map, record }: Attachment, sizeBytes: number): Promise<void> {
  const chunks = sizeBytes / CHUNK_BYTES;
  for (let from = 0; from < chunks; from += COMMIT_ENTRIES) {
    const count = Math.min(COMMIT_ENTRIES, chunks - from);
    const entries: MapEntry[] = Array.from({ length: count }, (_, index) => ({
      chunk: from + index,
      layer: record.layer,
    }));
    await new Promise<void>((resolve, reject) => {
      map.commit(entries, (errno) =>
        errno === 0 ? resolve() : reject(new Error(`errno ${errno}`)),
      );
    });
  }
  await new Promise<void>((resolve) => map.sync(() => resolve()));
}
