/** The chunk map against a plain Map, at its pages' edges. */
import fc from 'fast-check';
import { MAP_PAGE_ENTRIES } from '../../lib/coordination/coordination';
import { ChunkMap } from '../../lib/volume/chunk-map';
import { firstSeed } from './doubles/random';

const CHUNKS = 5 * MAP_PAGE_ENTRIES + 7;
const chunk = fc.oneof(
  fc.integer({ min: 0, max: CHUNKS - 1 }),
  fc.constantFrom(0, MAP_PAGE_ENTRIES - 1, MAP_PAGE_ENTRIES, CHUNKS - 1),
);

test('get, owned and nextOwned agree with a plain map', () => {
  const sets = fc.array(fc.tuple(chunk, fc.constantFrom(0, 1, 7, 2 ** 32 - 1)), { maxLength: 40 });
  fc.assert(
    fc.property(sets, chunk, chunk, (changes, from, end) => {
      const map = new ChunkMap(CHUNKS);
      const model = new Map<number, number>();
      for (const [at, layer] of changes) {
        map.set(at, layer);
        if (layer === 0) model.delete(at);
        else model.set(at, layer);
        expect(map.get(at)).toBe(layer);
      }
      expect(map.owned).toBe(model.size);
      const owned = [...model.keys()].filter((at) => at >= from && at < end);
      expect(map.nextOwned(from, end)).toBe(owned.length === 0 ? -1 : Math.min(...owned));
    }),
    { seed: firstSeed(), numRuns: 300 },
  );
});

test('the map of a volume of 2^31 chunks is made and searched at once', () => {
  const map = new ChunkMap(2 ** 31);
  map.set(2 ** 31 - 1, 3);
  expect(map.get(2 ** 31 - 1)).toBe(3);
  expect(map.nextOwned(0, 2 ** 31)).toBe(2 ** 31 - 1);
});

test('a loaded page sets its entries', () => {
  const map = new ChunkMap(CHUNKS);
  map.load(5, new Uint32Array([0, 4, 0, 9, 0, 0, 2]));
  expect([map.get(5 * MAP_PAGE_ENTRIES + 1), map.get(CHUNKS - 1), map.owned]).toEqual([4, 2, 3]);
});

test.each([-1, CHUNKS])('chunk %d is refused', (beyond) => {
  expect(() => new ChunkMap(CHUNKS).set(beyond, 1)).toThrow('within the volume');
});

test('a page that names chunks beyond the end is refused', () => {
  const entries = new Uint32Array(MAP_PAGE_ENTRIES).fill(1);
  expect(() => new ChunkMap(CHUNKS).load(5, entries)).toThrow('within the volume');
});

test('resizing keeps what is owned, at any size, as a plain map does', () => {
  const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: CHUNKS }), chunk), { maxLength: 20 });
  fc.assert(
    fc.property(sizes, (steps) => {
      const map = new ChunkMap(CHUNKS);
      const model = new Set<number>();
      for (const [size, at] of steps) {
        for (const owned of [...model].filter((index) => index >= size)) {
          map.set(owned, 0);
          model.delete(owned);
        }
        map.resize(size);
        expect(map.chunkCount).toBe(size);
        if (at < size) {
          map.set(at, 9);
          model.add(at);
        } else {
          expect(() => map.set(at, 9)).toThrow('within the volume');
        }
        expect(map.owned).toBe(model.size);
        expect(map.nextOwned(0, CHUNKS)).toBe(model.size === 0 ? -1 : Math.min(...model));
      }
    }),
    { seed: firstSeed(), numRuns: 200 },
  );
});

test('an owned chunk is never cut off', () => {
  const map = new ChunkMap(10);
  map.set(7, 1);
  expect(() => map.resize(7)).toThrow('no owned chunk');
  map.resize(2 ** 31);
  expect(map.get(7)).toBe(1);
});
