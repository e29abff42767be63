/**
 * Goal: a replay finds nothing wrong with a correct disk, and finds whatever a faulty one does.
 * Method: made-up traces against a disk in memory that answers in any order; faults planted in it.
 */
import { DiskModel, type DiskModelOptions } from '../../lib/trace/disk-model';
import { loadPayloadHash, type PayloadHash } from '../../lib/trace/payload-hash';
import type { ReplayOptions, ReplayResult } from '../../lib/trace/replay-result';
import { Replayer } from '../../lib/trace/replayer';
import { synthesize, SYNTHESIZE_DEFAULTS } from '../../lib/trace/synthesize';
import { TraceBatch } from '../../lib/trace/trace-batch';
import { PAYLOAD_BYTES } from '../../lib/trace/trace-record';
import type { TraceSource } from '../../lib/trace/trace-source';
import { WHOLE_TRACE } from './fixtures';
import { MemoryTarget, type Faults } from './memory-target';

// Thousands of requests: on a busy machine that takes its time.
jest.setTimeout(60_000);

const SECTORS = 4096;
const SEED = 20261122;

let hash: PayloadHash;
beforeAll(async () => {
  hash = await loadPayloadHash();
});

function newModel(options: Partial<DiskModelOptions> = {}): DiskModel {
  return new DiskModel({
    sectors: SECTORS,
    seed: 5,
    expectZero: true,
    survives: 'flushed',
    hash,
    ...options,
  });
}

type Line = [operation: number, sector: number, sectorCount: number, more?: Partial<More>];
interface More {
  timeUs: number;
  status: number;
  payload: Uint8Array;
}

/** Requests as a trace, in batches of seven. */
function trace(lines: Line[], breaksAt = Infinity): TraceSource {
  return {
    path: 'memory',
    kind: 'tapdisk-ts',
    summary: () => Promise.reject(new Error('not asked for')),
    async *batches(skip = 0) {
      for (let first = skip; first < lines.length; first += 7) {
        const part = lines.slice(first, first + 7);
        const bytes = Buffer.concat(part.map((line) => line[3]?.payload ?? Buffer.alloc(0)));
        const batch = new TraceBatch(7, first, bytes);
        let at = 0;
        part.forEach(([operation, sector, sectorCount, more], i) => {
          batch.addPlain(more?.timeUs ?? 0, operation, sector, sectorCount);
          batch.status[i] = more?.status ?? 0;
          if (more?.payload === undefined) return;
          batch.payloadKind[i] = PAYLOAD_BYTES;
          batch.payloadOffset[i] = at;
          at += more.payload.length;
        });
        yield batch;
        if (first >= breaksAt) throw new Error('the trace breaks here');
      }
    },
  };
}

function madeUp(count: number, seed = SEED, share = {}): Line[] {
  const lines: Line[] = [];
  const options = {
    ...SYNTHESIZE_DEFAULTS,
    flushPercent: 5,
    barrierPercent: 5,
    discardPercent: 3,
    ...share,
    seed,
    count,
    sectors: SECTORS,
    workingSetSectors: 2000,
    chunkBytes: 64 * 1024,
  };
  for (const r of synthesize(options)) lines.push([r.operation, r.sector, r.sectorCount]);
  return lines;
}

function replay(
  target: MemoryTarget,
  source: TraceSource,
  options: Partial<ReplayOptions> = {},
  model = newModel(),
): Promise<ReplayResult> {
  return new Replayer(target, source, model, { ...WHOLE_TRACE, ...options }).run();
}

describe('a correct disk', () => {
  test.each([1, 4, 32])('has no mismatches at depth %i', async (depth) => {
    const lines = madeUp(800);
    const target = new MemoryTarget({ sectors: SECTORS });
    const result = await replay(target, trace(lines), { depth });
    expect(result).toMatchObject({ end: 'done', mismatches: 0, position: 800, skipped: 0 });
    expect(result.mismatchSamples).toEqual([]);
    expect(result.sectorsVerified).toBeGreaterThan(3_000);
    expect(target.inFlightMax).toBeLessThanOrEqual(depth);
    expect(target.inFlightMax).toBeGreaterThan(depth / 2);
    // The final flush is one more.
    expect(result.total.requests).toBe(801);
    expect(result.total.bytes).toBe(
      lines.reduce((sum, [op, , count]) => sum + (op === 5 ? 0 : count * 512), 0),
    );
  });

  test('has none where it fails some requests', async () => {
    let n = 0;
    const target = new MemoryTarget({ sectors: SECTORS });
    target.faults.status = () => (n++ % 5 === 0 ? -1 : n % 7 === 0 ? -2 : 0);
    const result = await replay(target, trace(madeUp(900)));
    expect(result).toMatchObject({ end: 'done', mismatches: 0 });
    expect(result.total.errors).toBeGreaterThan(100);
    expect(result.total.unsupported).toBeGreaterThan(50);
  });

  test('may hold what it likes where nothing was written, if it is not fresh', async () => {
    const target = new MemoryTarget({ sectors: SECTORS });
    for (let s = 0; s < SECTORS; s++) target.content.set(s, new Int32Array(128).fill(s + 1));
    const known = await replay(target, trace(madeUp(1000)), {}, newModel({ expectZero: false }));
    expect(known.mismatches).toBe(0);
    expect(known.sectorsLearned).toBeGreaterThan(100);
    target.content.set(4000, new Int32Array(128).fill(9));
    const fresh = await replay(target, trace([[0, 4000, 1]]));
    expect(fresh.mismatches).toBe(1);
  });
});

describe('a faulty disk is found out', () => {
  let n = 0;
  beforeEach(() => {
    n = 0;
  });
  const SOMETIMES = 50;
  const faults: Record<string, [Faults, string[]]> = {
    'that loses a write': [{ write: () => n++ % SOMETIMES === 7 }, ['lost', 'stale']],
    'that swaps two sectors of a write': [
      {
        write: (disk, request) => {
          if (request.sectorCount < 2 || n++ % SOMETIMES !== 7) return false;
          disk.forEachSector(request, (sector, words) => disk.content.set(sector, words.slice()));
          const [a, b] = [disk.readSector(request.sector), disk.readSector(request.sector + 1)];
          disk.content.set(request.sector, b);
          disk.content.set(request.sector + 1, a);
          return true;
        },
      },
      ['misplaced'],
    ],
    'that writes a request elsewhere': [
      {
        write: (disk, request) => {
          if (n++ % SOMETIMES !== 7) return false;
          disk.forEachSector(request, (sector, words) =>
            disk.content.set(sector ^ 1024, words.slice()),
          );
          return true;
        },
      },
      ['misplaced', 'stale', 'lost'],
    ],
    'that answers a read with older data': [
      {
        write: (disk, request) => {
          disk.forEachSector(request, (sector) => older.set(sector, disk.readSector(sector)));
          return false;
        },
        read: (disk, request) => {
          if (n++ % SOMETIMES !== 7) return false;
          disk.forEachSector(request, (sector, words) =>
            words.set(older.get(sector) ?? disk.readSector(sector)),
          );
          return true;
        },
      },
      ['stale', 'lost'],
    ],
    'that tears a sector': [
      {
        write: (disk, request) => {
          if (n++ % SOMETIMES !== 7) return false;
          disk.forEachSector(request, (sector, words) => {
            const torn = disk.readSector(sector).slice();
            torn.set(words.subarray(0, 96));
            disk.content.set(sector, torn);
          });
          return true;
        },
      },
      ['torn'],
    ],
    'that answers a read without reading': [{ read: () => n++ % SOMETIMES === 7 }, ['damaged']],
  };
  const older = new Map<number, Int32Array>();

  test.each(Object.entries(faults))('%s', async (_, [planted, kinds]) => {
    const target = new MemoryTarget({ sectors: SECTORS });
    target.faults = planted;
    const lines = madeUp(800, SEED, { discardPercent: 0 });
    const result = await replay(target, trace(lines));
    expect(result.mismatches).toBeGreaterThan(0);
    expect(result.mismatchSamples.length).toBe(Math.min(20, result.mismatches));
    const found = new Set(result.mismatchSamples.map((mismatch) => mismatch.kind));
    expect(kinds.filter((kind) => (found as Set<string>).has(kind))).not.toEqual([]);
  });
});

test('overlapping requests are kept apart, and only those', async () => {
  const target = new MemoryTarget({ sectors: SECTORS });
  const inFlight: Line[] = [];
  let overlaps = 0;
  let both = 0;
  const submit = target.submit.bind(target);
  target.submit = (request) => {
    const [from, to] = [request.sector, request.sector + request.sectorCount];
    for (const [operation, sector, count] of inFlight) {
      if (sector >= to || from >= sector + count) continue;
      if (operation === 0 && request.operation === 0) both++;
      else overlaps++;
    }
    inFlight[request.slot] = [request.operation, request.sector, request.sectorCount];
    submit(request);
  };
  target.faults.status = ({ slot }) => {
    inFlight[slot] = [0, 0, 0];
    return 0;
  };
  const result = await replay(target, trace(madeUp(900, SEED, { readPercent: 70 })));
  expect(overlaps).toBe(0);
  expect(both).toBeGreaterThan(0);
  expect(result.conflictsWaited).toBeGreaterThan(0);
});

test('a request too large for the ring is split, and verified as one', async () => {
  const target = new MemoryTarget({ sectors: SECTORS });
  const result = await replay(
    target,
    trace([
      [1, 3, 488],
      [0, 3, 488],
      [5, 0, 4096],
    ]),
  );
  expect(result).toMatchObject({ mismatches: 0, position: 3, sectorsVerified: 488 });
  const sizes = target.log
    .filter((line) => line.startsWith('0 '))
    .map((line) => line.split('+')[1]);
  expect(sizes.sort()).toEqual([
    '48 in 6',
    '88 in 11',
    '88 in 11',
    '88 in 11',
    '88 in 11',
    '88 in 11',
  ]);
  expect(target.log).toContain('5 0+4096 in 0');
});

test('a recorded shape is kept where the ring takes it', async () => {
  const shaped = trace([]);
  shaped.batches = async function* () {
    const batch = new TraceBatch(1, 0, Buffer.from([(2 << 3) | 4, (7 << 3) | 7]));
    batch.addPlain(0, 1, 100, 4);
    batch.shape[0] = 2;
    batch.segmentCount[0] = 2;
    yield batch;
  };
  for (const takesShapes of [true, false]) {
    const target = new MemoryTarget({ sectors: SECTORS, takesShapes });
    const model = newModel();
    await replay(target, shaped, {}, model);
    expect(target.log).toContain(takesShapes ? '1 100+4 in 2' : '1 100+4 in 1');
    expect((await replay(target, trace([[0, 96, 12]]), {}, model)).mismatches).toBe(0);
  }
});

test('recorded payloads are written as they were', async () => {
  const target = new MemoryTarget({ sectors: SECTORS });
  const payload = Buffer.alloc(100 * 512);
  for (let i = 0; i < 80 * 512; i++) payload[i] = (i * 7919) >> 8;
  const lines: Line[] = [
    [1, 50, 100, { payload }],
    [0, 40, 120],
  ];
  expect((await replay(target, trace(lines))).mismatches).toBe(0);
  const bytes = Buffer.concat(
    Array.from({ length: 100 }, (_, n) => Buffer.from(target.readSector(50 + n).buffer)),
  );
  expect(bytes.equals(payload)).toBe(true);
});

test('part of a trace, and more than one pass', async () => {
  const lines: Line[] = Array.from({ length: 20 }, (_, n) => [1, n * 8, 8]);
  const target = new MemoryTarget({ sectors: SECTORS });
  const part = await replay(target, trace(lines), { skip: 9, count: 3, finalFlush: false });
  expect(part).toMatchObject({ position: 12, end: 'done' });
  expect(target.log.sort()).toEqual(['1 72+8 in 1', '1 80+8 in 1', '1 88+8 in 1']);
  const twice = await replay(target, trace(lines), { loops: 2, skip: 15, finalFlush: false });
  expect(twice.total.requests).toBe(25);
  const none = await replay(target, trace(lines), { skip: 50, finalFlush: false });
  expect(none).toMatchObject({ end: 'done', total: { requests: 0 } });
});

test('at recorded speed, a request is not sent before its time', async () => {
  const lines: Line[] = [0, 10_000, 60_000].map((timeUs) => [1, 0, 8, { timeUs: timeUs + 777 }]);
  const run = async (speed: number): Promise<number> =>
    (await replay(new MemoryTarget({ sectors: SECTORS }), trace(lines), { speed })).elapsedMs;
  expect(await run(1)).toBeGreaterThanOrEqual(58);
  expect(await run(0.5)).toBeGreaterThanOrEqual(118);
});

describe('a trace that does not fit', () => {
  test.each<[string, Line, string, boolean]>([
    ['beyond the end', [1, SECTORS - 4, 8], 'REPLAY_DISK_TOO_SMALL', false],
    ['writing to a read-only disk', [1, 0, 8], 'REPLAY_READ_ONLY', true],
  ])('%s is refused by the number of its request', async (_, line, code, readOnly) => {
    const target = new MemoryTarget({ sectors: SECTORS, readOnly });
    const lines: Line[] = [[0, 0, 8], [0, 8, 8], line, [0, 0, 8]];
    await expect(replay(target, trace(lines))).rejects.toMatchObject({
      code,
      message: expect.stringContaining('request 2 of the trace') as string,
    });
    expect(target.log.length).toBe(2);
  });

  test('what the recorded disk had refused is left out', async () => {
    const target = new MemoryTarget({ sectors: SECTORS });
    const refused: Line = [1, SECTORS - 4, 8, { status: -1 }];
    const result = await replay(target, trace([[1, 0, 8], refused, [0, 0, 0], [0, 0, 8]]));
    expect(result).toMatchObject({ skipped: 2, position: 4, mismatches: 0 });
  });

  test('a trace that breaks ends the replay after what was sound', async () => {
    const target = new MemoryTarget({ sectors: SECTORS });
    await expect(replay(target, trace(madeUp(100), 50))).rejects.toThrow('breaks here');
    expect(target.log.length).toBe(63);
  });
});

describe('a back end that dies', () => {
  const dying = (after: number): MemoryTarget => {
    const target = new MemoryTarget({ sectors: SECTORS });
    let n = 0;
    target.faults.write = (disk, request) => {
      if (++n < after) return false;
      target.gone = 'its process is gone';
      // Half of the write that it died in has been done.
      let half = request.sectorCount / 2;
      disk.forEachSector(request, (s, words) => half-- > 0 && disk.content.set(s, words.slice()));
      return true;
    };
    return target;
  };

  test('ends the replay, which goes on with the next one', async () => {
    const lines = madeUp(900);
    const target = dying(200);
    const model = newModel();
    const first = await replay(target, trace(lines), {}, model);
    expect(first).toMatchObject({ end: 'back-end-gone', goneReason: 'its process is gone' });
    expect(first.position).toBeGreaterThan(100);
    expect(first.position).toBeLessThan(900);
    const next = new MemoryTarget({ sectors: SECTORS });
    target.content.forEach((words, sector) => next.content.set(sector, words));
    const second = await replay(next, trace(lines), { skip: first.position }, model);
    expect(second).toMatchObject({ end: 'done', mismatches: 0, position: 900 });
  });

  test('and whose successor has lost flushed data is found out', async () => {
    const target = dying(200);
    const model = newModel();
    const first = await replay(target, trace(madeUp(900)), {}, model);
    const second = await replay(
      new MemoryTarget({ sectors: SECTORS }),
      trace([...Array(SECTORS / 8).keys()].map((n) => [0, n * 8, 8])),
      {},
      model,
    );
    expect(first.mismatches).toBe(0);
    expect(second.mismatches).toBeGreaterThan(0);
  });

  test('is replaced, and what was unanswered is sent again', async () => {
    const target = dying(200);
    const model = newModel();
    const replayer = new Replayer(target, trace(madeUp(900)), model, {
      ...WHOLE_TRACE,
      reconnectTimeoutMs: 5000,
    });
    const done = replayer.run();
    const successor = setInterval(() => {
      if (target.gone === null) return;
      target.faults = {};
      clearInterval(successor);
      target.replaceBackEnd();
    }, 10);
    expect(await done).toMatchObject({ end: 'done', mismatches: 0, backEndsReplaced: 1 });
  });

  test('is noticed by its silence', async () => {
    const target = new MemoryTarget({ sectors: SECTORS });
    target.kick = () => {};
    const result = await replay(target, trace(madeUp(10)), { answerTimeoutMs: 150 });
    expect(result).toMatchObject({ end: 'back-end-gone', position: 0 });
    expect(result.goneReason).toContain('150 ms');
  });
});

test('a replay that is stopped answers what is in flight and says where it is', async () => {
  const target = new MemoryTarget({ sectors: SECTORS });
  const model = newModel();
  const replayer = new Replayer(target, trace(madeUp(900)), model, WHOLE_TRACE);
  target.faults.status = () => {
    if (replayer.progress().position > 700) replayer.stop();
    return 0;
  };
  const result = await replayer.run();
  expect(result.end).toBe('stopped');
  expect(result.position).toBeGreaterThan(700);
  expect(result.position).toBeLessThan(800);
  expect(model.busy).toBe(false);
});
