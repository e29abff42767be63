/** Goal: made-up traces stay within their disk, are repeatable, and hold what they are made for. */
import fc from 'fast-check';
import {
  synthesize,
  SYNTHESIZE_DEFAULTS,
  type SynthesizeOptions,
} from '../../lib/trace/synthesize';

// Thousands of requests: on a busy machine that takes its time.
jest.setTimeout(60_000);

function collect(options: Partial<SynthesizeOptions>): string[] {
  const lines: string[] = [];
  const all = {
    ...SYNTHESIZE_DEFAULTS,
    seed: 1,
    count: 2000,
    sectors: 1 << 20,
    workingSetSectors: 1 << 19,
    ...options,
  };
  for (const r of synthesize(all)) {
    lines.push(
      [r.timeUs, r.operation, r.sector, r.sectorCount, r.segmentCount, r.segmentFirst[0]].join(),
    );
  }
  return lines;
}

test('every request lies within the disk and fits a ring', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 5000 }), fc.nat(), (seed, sectors, part) => {
      const workingSetSectors = 1 + (part % sectors);
      const chunkBytes = 512 * 64;
      const wrong = collect({ seed, count: 100, sectors, workingSetSectors, chunkBytes }).filter(
        (line) => {
          const [, operation, sector, count, segments] = line.split(',').map(Number);
          const sized =
            operation === 3 ? count === 0 : count > 0 && (operation === 5 || count <= 88);
          return sector + count > sectors || !sized || segments > 11;
        },
      );
      expect(wrong).toEqual([]);
    }),
    { numRuns: 50 },
  );
});

test('the same seed makes the same trace, another one another', () => {
  expect(collect({ seed: 7 })).toEqual(collect({ seed: 7 }));
  expect(collect({ seed: 7 })).not.toEqual(collect({ seed: 8 }));
});

test('there are all operations, unaligned and chunk-crossing requests, and odd first sectors', () => {
  const requests = collect({}).map((line) => line.split(',').map(Number));
  const operations = new Set(requests.map(([, operation]) => operation));
  expect([...operations].sort()).toEqual([0, 1, 2, 3, 5]);
  const moved = requests.filter(([, operation]) => operation < 2);
  const share = (holds: (request: number[]) => boolean): number =>
    moved.filter(holds).length / moved.length;
  expect(share(([, , sector]) => sector % 8 !== 0)).toBeGreaterThan(0.1);
  expect(
    share(
      ([, , sector, count]) =>
        Math.floor(sector / 8192) !== Math.floor((sector + count - 1) / 8192),
    ),
  ).toBeGreaterThan(0.03);
  expect(share(([, , , count]) => count === 8)).toBeGreaterThan(0.2);
  expect(share(([, , , count]) => count === 88)).toBeGreaterThan(0.05);
  expect(share((request) => request[5] > 0)).toBeGreaterThan(0.05);
  expect(share(([, , sector]) => sector > (1 << 20) - 200)).toBeGreaterThan(0);
});

test.each([
  [{ sectors: 0, workingSetSectors: 0 }, 'at least one sector'],
  [{ workingSetSectors: 1 << 21 }, 'working set lies within the disk'],
  [{ chunkBytes: 1000 }, 'multiple of 512'],
  [{ readPercent: 101 }, 'between 0 and 100'],
  [{ count: -1 }, 'whole number'],
  [{ intervalUs: 0.5 }, 'whole number of µs'],
])('%j is refused', (options, words) => {
  expect(() => collect(options)).toThrow(
    expect.objectContaining({
      code: 'TRACE_OPTIONS_INVALID',
      message: expect.stringContaining(words) as string,
    }) as Error,
  );
});
