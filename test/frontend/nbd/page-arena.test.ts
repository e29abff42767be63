/** Blocks of pages: never two in one place, and none lost. */
import { PAGE_BYTES, PageArena } from '../../../lib/frontend/nbd/page-arena';

const PAGES = 64;

test('takes the whole, in one block or page by page', () => {
  const arena = new PageArena(PAGES * PAGE_BYTES);
  expect(arena.take(PAGES * PAGE_BYTES)).toBe(0);
  expect(arena.take(1)).toBe(-1);
  arena.give(0);
  const offsets = Array.from({ length: PAGES }, () => arena.take(PAGE_BYTES));
  expect(new Set(offsets).size).toBe(PAGES);
  expect(arena.take(1)).toBe(-1);
  for (const offset of offsets) arena.give(offset);
  expect(arena.take(PAGES * PAGE_BYTES)).toBe(0);
});

test('has nothing for what is larger than itself', () => {
  expect(new PageArena(PAGES * PAGE_BYTES).take(PAGES * PAGE_BYTES + 1)).toBe(-1);
});

test('gives out again first what came back last', () => {
  const arena = new PageArena(PAGES * PAGE_BYTES);
  const [, b] = [arena.take(PAGE_BYTES), arena.take(PAGE_BYTES), arena.take(PAGE_BYTES)];
  arena.give(b);
  expect(arena.take(PAGE_BYTES)).toBe(b);
});

test('takes back only what it gave out', () => {
  const arena = new PageArena(PAGES * PAGE_BYTES);
  const offset = arena.take(2 * PAGE_BYTES);
  arena.give(offset);
  expect(() => arena.give(offset)).toThrow('invariant');
  expect(() => arena.give(offset + PAGE_BYTES)).toThrow('invariant');
});

test('blocks of any sizes never overlap, and come together again', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  console.log(`SEED=${seed}`);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const arena = new PageArena(PAGES * PAGE_BYTES);
  const owners = new Array<number>(PAGES).fill(-1);
  const taken: { offset: number; pages: number }[] = [];
  for (let step = 0; step < 20_000; step++) {
    if (random(2) === 0) {
      const length = 1 + random(random(8) === 0 ? PAGES * PAGE_BYTES : 4 * PAGE_BYTES);
      const offset = arena.take(length);
      if (offset < 0) continue;
      const first = offset / PAGE_BYTES;
      const pages = Math.ceil(length / PAGE_BYTES);
      for (let page = first; page < first + pages; page++) {
        if (owners[page] !== -1) throw new Error(`page ${page} was given out twice`);
        owners[page] = step;
      }
      taken.push({ offset, pages });
    } else if (taken.length > 0) {
      const [{ offset, pages }] = taken.splice(random(taken.length), 1);
      owners.fill(-1, offset / PAGE_BYTES, offset / PAGE_BYTES + pages);
      arena.give(offset);
    }
    expect(arena.blocks).toBe(taken.length);
  }
  for (const { offset } of taken) arena.give(offset);
  expect(arena.take(PAGES * PAGE_BYTES)).toBe(0);
});
