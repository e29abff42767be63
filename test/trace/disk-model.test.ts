/**
 * Goal: the model never blames a disk that did what it promised, and always one that did not.
 * Method: disks that choose, at random, among all that a disk may do; then single planted faults.
 */
import fc from 'fast-check';
import { DiskModel, type DiskModelOptions } from '../../lib/trace/disk-model';
import type { Mismatch } from '../../lib/trace/mismatch';
import { loadPayloadHash, type PayloadHash } from '../../lib/trace/payload-hash';
import { fillSectors } from '../../lib/trace/sector-payload';
import { UnflushedWrites } from '../../lib/trace/unflushed-writes';
import { ValueTable } from '../../lib/trace/value-table';
import { VALUE_ANY, VALUE_UNHEARD, valueOfSequence } from '../../lib/trace/sector-value';

// Thousands of requests: on a busy machine that takes its time.
jest.setTimeout(60_000);

const SECTORS = 24;
const WORDS = 128;
const SEED = 0xfeedface;
const OKAY = 0;
const FAILED = -1;
const UNSUPPORTED = -2;

let hash: PayloadHash;
beforeAll(async () => {
  hash = await loadPayloadHash();
});

function newModel(options: Partial<DiskModelOptions> = {}): DiskModel {
  return new DiskModel({
    sectors: SECTORS,
    seed: SEED,
    expectZero: true,
    survives: 'flushed',
    hash,
    ...options,
  });
}

/** The disk under judgement: a sequence number a sector, 0 for zeros. */
function image(sequences: (number | null)[], first = 0, seed = SEED): Int32Array {
  const words = new Int32Array(sequences.length * WORDS);
  sequences.forEach((sequence, n) => {
    if (sequence !== null) fillSectors(words, n * WORDS, first + n, 1, sequence, seed);
  });
  return words;
}

function check(model: DiskModel, sector: number, words: Int32Array): Mismatch[] {
  const found: Mismatch[] = [];
  const count = model.check(sector, words.length / WORDS, words, 0, (m) => found.push(m));
  expect(count).toBe(found.length);
  return found;
}

function write(model: DiskModel, sector: number, count: number, status = OKAY, slot = 0): number {
  const sequence = model.writeStarted(slot, sector, count);
  model.ended(slot, status);
  return sequence;
}

function flush(model: DiskModel): void {
  model.flushStarted(0);
  model.ended(0, OKAY);
}

type Step =
  | {
      do: 'write' | 'discard' | 'barrier' | 'flush-write';
      at: number;
      count: number;
      status: number;
    }
  | { do: 'flush'; status: number }
  | { do: 'read'; at: number; count: number }
  | { do: 'crash'; inFlight: { at: number; count: number } | null };

const range = { at: fc.nat(SECTORS - 1), count: fc.integer({ min: 1, max: 6 }) };
const status = fc.constantFrom(OKAY, OKAY, OKAY, FAILED, UNSUPPORTED);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), ...range, status }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('discard' as const, 'barrier' as const, 'flush-write' as const),
      ...range,
      status,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('flush' as const), status }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), ...range }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      inFlight: fc.option(fc.record(range)),
    }),
  },
);

/** A disk with a volatile cache: what it holds now, and what each sector may fall back to. */
class AllowedDisk {
  readonly now: (number | null)[] = Array.from({ length: SECTORS }, () => null);
  private readonly fallbacks = this.now.map((value): (number | null)[] => [value]);

  /** @param draw a number from 0 to below its argument. */
  constructor(private readonly draw: (below: number) => number) {}

  put(sector: number, value: number | null, durable: boolean): void {
    this.now[sector] = value;
    if (durable) this.fallbacks[sector] = [value];
    else this.fallbacks[sector].push(value);
  }

  flush(): void {
    this.now.forEach((value, sector) => (this.fallbacks[sector] = [value]));
  }

  crash(): void {
    this.fallbacks.forEach((values, sector) => {
      this.now[sector] = values[this.draw(values.length)];
      this.fallbacks[sector] = [this.now[sector]];
    });
  }

  maybe(): boolean {
    return this.draw(2) === 1;
  }
}

function carryOut(model: DiskModel, disk: AllowedDisk, step: Step): Mismatch[] {
  const clip = (s: { at: number; count: number }): [number, number] => [
    s.at,
    Math.min(s.count, SECTORS - s.at),
  ];
  if (step.do === 'read') {
    const [at, count] = clip(step);
    return check(model, at, image(disk.now.slice(at, at + count), at));
  }
  if (step.do === 'flush') {
    model.flushStarted(3);
    model.ended(3, step.status);
    if (step.status === OKAY) disk.flush();
  } else if (step.do === 'crash') {
    if (step.inFlight !== null) {
      const [at, count] = clip(step.inFlight);
      const sequence = model.writeStarted(5, at, count);
      for (let s = at; s < at + count; s++) if (disk.maybe()) disk.put(s, sequence, false);
    }
    model.crashed();
    disk.crash();
  } else {
    const [at, count] = clip(step);
    let value: number | null = null;
    if (step.do === 'discard') model.discardStarted(7, at, count);
    else value = model.writeStarted(7, at, count);
    if (step.do === 'barrier') model.markBarrier(7);
    if (step.do === 'flush-write') model.markFlush(7);
    model.ended(7, step.status);
    const ordered = step.do === 'barrier' || step.do === 'flush-write';
    if (step.status === OKAY && ordered) disk.flush();
    if (step.status !== UNSUPPORTED) {
      const certain = step.status === OKAY && step.do !== 'discard';
      for (let s = at; s < at + count; s++) {
        if (certain || disk.maybe()) disk.put(s, value, certain && step.do === 'barrier');
      }
    }
  }
  return [];
}

test('a disk that keeps its promises is never blamed, whatever it chooses among them', () => {
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 60 }), fc.nat(), (steps, seed) => {
      let state = seed;
      const disk = new AllowedDisk((below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
      });
      const model = newModel();
      for (const step of steps) expect(carryOut(model, disk, step)).toEqual([]);
      expect(check(model, 0, image(disk.now))).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('after certain writes, any other content of any sector is found', () => {
  const writes = fc.array(fc.record(range), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(
      writes,
      fc.nat(SECTORS - 1),
      fc.integer({ min: 0, max: 30 }),
      (steps, at, other) => {
        const model = newModel();
        const now: (number | null)[] = Array.from({ length: SECTORS }, () => null);
        for (const step of steps) {
          const count = Math.min(step.count, SECTORS - step.at);
          now.fill(write(model, step.at, count), step.at, step.at + count);
        }
        const found = other === 30 ? null : other;
        const mismatches = check(model, at, image([found], at));
        expect(mismatches.length).toBe(found === now[at] ? 0 : 1);
      },
    ),
  );
});

describe('a planted fault is found and named', () => {
  const model = (): DiskModel => {
    const made = newModel();
    write(made, 0, 8);
    write(made, 4, 8);
    return made;
  };
  const torn = (): Int32Array => {
    const words = image([1], 5);
    words.set(image([0], 5).subarray(64), 64);
    return words;
  };
  const bitFlip = (): Int32Array => {
    const words = image([1], 5);
    words[60] ^= 4;
    return words;
  };
  const junk = new Int32Array(WORDS).fill(0x1234567);
  test.each<[string, string, number, Int32Array, string]>([
    ['a lost write', 'lost', 5, image([null]), 'zeros'],
    ['a stale sector', 'stale', 5, image([0], 5), 'sector 5 of write 0'],
    ['a later write', 'newer', 2, image([1], 2), 'sector 2 of write 1'],
    ['a misplaced sector', 'misplaced', 5, image([1], 6), 'sector 6 of write 1'],
    [
      'a torn sector',
      'torn',
      5,
      torn(),
      'begins as sector 5 of write 1 and ends as sector 5 of write 0, differing from byte 256 on',
    ],
    ['a flipped bit', 'torn', 5, bitFlip(), 'differing from byte 240 on'],
    ["another run's data", 'foreign', 5, image([1], 5, 99), 'seed 99'],
    ['data from nowhere', 'damaged', 5, junk, 'data that no replay wrote'],
    ['data where nothing was written', 'unexpected', 20, junk, 'data that no replay wrote'],
  ])('%s', (_, kind, sector, words, found) => {
    expect(check(model(), sector, words)).toEqual([
      expect.objectContaining({ sector, kind, found: expect.stringContaining(found) as string }),
    ]);
  });
});

test('a failed write may have happened, sector by sector, and what is read then stays', () => {
  const model = newModel();
  const old = write(model, 0, 2);
  const failed = write(model, 0, 2, FAILED);
  expect(model.uncertainSectors).toBe(2);
  expect(check(model, 0, image([old, failed]))).toEqual([]);
  expect(model.uncertainSectors).toBe(0);
  expect(check(model, 0, image([failed, failed]))).toEqual([
    expect.objectContaining({ sector: 0, expected: `write ${old}` }),
  ]);
});

test('an unsupported request changes nothing', () => {
  const model = newModel();
  const old = write(model, 0, 1);
  const refused = write(model, 0, 1, UNSUPPORTED);
  expect(check(model, 0, image([refused]))).toHaveLength(1);
  expect(check(model, 0, image([old]))).toEqual([]);
});

describe('after a crash', () => {
  test('what a flush covered must be there', () => {
    const model = newModel();
    const kept = write(model, 0, 1);
    flush(model);
    model.crashed();
    expect(check(model, 0, image([null]))).toEqual([expect.objectContaining({ kind: 'lost' })]);
    expect(check(model, 0, image([kept]))).toEqual([]);
  });

  test('a write that ended after the flush had started is not covered by it', () => {
    const model = newModel();
    model.flushStarted(1);
    write(model, 0, 1);
    model.ended(1, OKAY);
    model.crashed();
    expect(check(model, 0, image([null]))).toEqual([]);
  });

  test('a barrier covers itself and all before it', () => {
    const model = newModel();
    const before = write(model, 0, 1);
    const barrier = model.writeStarted(2, 1, 1);
    model.markBarrier(2);
    model.ended(2, OKAY);
    model.crashed();
    expect(check(model, 0, image([null, null]))).toHaveLength(2);
    expect(check(model, 0, image([before, barrier]))).toEqual([]);
  });

  test('an unflushed write may be lost, but not replaced by something else', () => {
    const model = newModel();
    const first = write(model, 0, 1);
    flush(model);
    const second = write(model, 0, 1);
    const third = write(model, 0, 1);
    for (const found of [first, second, third]) {
      const copy = newModel();
      write(copy, 0, 1);
      flush(copy);
      write(copy, 0, 1);
      write(copy, 0, 1);
      copy.crashed();
      expect(check(copy, 0, image([found]))).toEqual([]);
    }
    model.crashed();
    expect(check(model, 0, image([null]))).toEqual([
      expect.objectContaining({ expected: `write ${first} or write ${second} or write ${third}` }),
    ]);
  });

  test('where acknowledged writes must survive, an unflushed one may not be lost', () => {
    const model = newModel({ survives: 'acknowledged' });
    write(model, 0, 1);
    model.crashed();
    expect(check(model, 0, image([null]))).toEqual([expect.objectContaining({ kind: 'lost' })]);
  });

  test('a write in flight may have happened', () => {
    for (const survives of ['acknowledged', 'flushed'] as const) {
      const model = newModel({ survives });
      const inFlight = model.writeStarted(4, 2, 2);
      expect(model.busy).toBe(true);
      model.crashed();
      expect(model.busy).toBe(false);
      expect(check(model, 2, image([inFlight, null], 2))).toEqual([]);
      expect(check(model, 2, image([null, inFlight], 2))).toHaveLength(2);
    }
  });

  test('a write sent again to the next back end is certain once it ends', () => {
    const model = newModel();
    const lost = write(model, 1, 1);
    const again = model.writeStarted(4, 0, 1);
    model.backEndReplaced();
    model.ended(4, OKAY);
    expect(check(model, 0, image([again, null]))).toEqual([]);
    expect(check(model, 1, image([lost], 1))).toHaveLength(1);
  });
});

test('on a disk that is not fresh, content is learned once and then held to', () => {
  const model = newModel({ expectZero: false });
  const words = new Int32Array(WORDS).fill(77);
  expect(check(model, 9, words)).toEqual([]);
  expect(model.sectorsLearned).toBe(1);
  expect(check(model, 9, words)).toEqual([]);
  words[100]++;
  expect(check(model, 9, words)).toHaveLength(1);
});

test('recorded payloads are known by their content', () => {
  const model = newModel();
  const words = new Int32Array(WORDS * 2).fill(5, WORDS);
  const bytes = new Uint8Array(words.buffer);
  model.recordedWriteStarted(0, 3, 2, (n) => bytes.subarray(n * 512, (n + 1) * 512));
  model.ended(0, OKAY);
  expect(check(model, 3, words)).toEqual([]);
  words[200] = 6;
  expect(check(model, 3, words)).toEqual([expect.objectContaining({ sector: 4 })]);
});

test('a recorded payload that looks like one of ours is still itself', () => {
  const model = newModel();
  write(model, 0, 1);
  const words = image([0], 6);
  model.recordedWriteStarted(0, 6, 1, () => new Uint8Array(words.buffer));
  model.ended(0, OKAY);
  expect(check(model, 6, words)).toEqual([]);
});

test('a discard of a whole large disk takes no time, and may or may not give zeros', () => {
  const sectors = 2 ** 44;
  const model = newModel({ sectors });
  const far = sectors - 10;
  const written = model.writeStarted(0, far, 2);
  model.ended(0, OKAY);
  model.discardStarted(0, 0, sectors);
  model.ended(0, OKAY);
  expect(model.uncertainSectors).toBe(2);
  expect(check(model, far, image([written, null], far))).toEqual([]);
});

test('beyond its limit, the memory of unflushed writes grows weaker, never wrong', () => {
  const written = (flushed: boolean): ValueTable => {
    const writes = new UnflushedWrites(4);
    const current = new ValueTable();
    for (let n = 0; n < 6; n++) {
      writes.add(current, n, 1, valueOfSequence(n), false);
      current.set(n, valueOfSequence(n));
    }
    if (flushed) writes.flushedTo(writes.mark);
    writes.crash(current);
    return current;
  };
  expect(written(false).get(0)).toBe(VALUE_ANY);
  expect(written(false).alternatives(5)).toEqual([VALUE_UNHEARD, valueOfSequence(5)]);
  expect(written(true).get(0)).toBe(valueOfSequence(0));
  expect(written(true).get(5)).toBe(valueOfSequence(5));
});

test('a model that would outgrow its limit says so', () => {
  const table = new ValueTable(2);
  table.set(0, 1);
  table.set(64, 1);
  expect(() => table.set(128, 1)).toThrow(expect.objectContaining({ code: 'MODEL_FULL' }) as Error);
});
