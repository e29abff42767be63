/** The contract's part about chunk maps and layers. */
import { MAP_PAGE_ENTRIES, type Coordination } from '../../lib/coordination/coordination';
import type { VolumeRecord } from '../../lib/coordination/volume-record';
import {
  CHUNK,
  commit,
  loadEntries,
  READ,
  refusal,
  seededRandom,
  sync,
  WRITE,
  type PoolUnderTest,
} from './pool-under-test';

export function describeMap(given: () => { pool: PoolUnderTest; here: Coordination }): void {
  let pool: PoolUnderTest;
  let here: Coordination;
  beforeEach(() => {
    ({ pool, here } = given());
  });

  const create = (
    name: string,
    sizeBytes = 1024 * CHUNK,
    chunkBytes = CHUNK,
  ): Promise<VolumeRecord> => here.create({ name, sizeBytes, chunkBytes });

  describe('chunk map', () => {
    it('is empty at first', async () => {
      await create('a');
      const attachment = await here.attach('a', WRITE);
      expect(await loadEntries(attachment)).toEqual([]);
      expect(await here.countChunks('a')).toBe(0);
    });

    it('keeps what was committed when its process dies', async () => {
      const { layer } = await create('a', 5000 * CHUNK);
      const there = await pool.open();
      const attachment = await there.attach('a', WRITE);
      const chunks = [0, 1, 2, 1023, 1024, 3000, 4999];
      const entries = chunks.map((chunk) => ({ chunk, layer }));
      expect(await commit(attachment, entries)).toBe(0);
      await pool.kill(there);
      const next = await here.attach('a', WRITE);
      expect(await loadEntries(next)).toEqual(chunks.map((chunk) => [chunk, layer]));
      expect(await here.countChunks('a')).toBe(chunks.length);
    });

    it('tells pages in ascending order, each once, the last one no longer than the map', async () => {
      const { layer } = await create('a', 3000 * CHUNK);
      const attachment = await here.attach('a', WRITE);
      await commit(
        attachment,
        [2999, 5, 1500].map((chunk) => ({ chunk, layer })),
      );
      const pages: [number, number][] = [];
      await attachment.map.load((pageIndex, entries) => pages.push([pageIndex, entries.length]));
      expect(pages.map(([pageIndex]) => pageIndex)).toEqual([0, 1, 2]);
      expect(pages[2][1]).toBe(3000 - 2 * MAP_PAGE_ENTRIES);
    });

    it('takes entries back out', async () => {
      const { layer } = await create('a');
      const attachment = await here.attach('a', WRITE);
      await commit(attachment, [
        { chunk: 7, layer },
        { chunk: 8, layer },
      ]);
      await commit(attachment, [{ chunk: 7, layer: 0 }]);
      expect(await loadEntries(attachment)).toEqual([[8, layer]]);
      expect(await here.countChunks('a')).toBe(1);
    });

    it('lets the last of several entries for one chunk count, in one commit and in many', async () => {
      const { layer } = await create('a');
      const attachment = await here.attach('a', WRITE);
      const ends = [
        commit(attachment, [
          { chunk: 3, layer: 0 },
          { chunk: 4, layer },
          { chunk: 3, layer },
        ]),
      ];
      for (let i = 0; i < 20; i++) {
        ends.push(commit(attachment, [{ chunk: 4, layer: i % 2 === 0 ? layer : 0 }]));
      }
      expect(await Promise.all(ends)).toEqual(Array(21).fill(0));
      expect(await loadEntries(attachment)).toEqual([[3, layer]]);
    });

    it('calls back once, and never before it returns', async () => {
      const { layer } = await create('a');
      const attachment = await here.attach('a', WRITE);
      const calls: string[] = [];
      let returned = false;
      const note = (what: string) => () => {
        expect(returned).toBe(true);
        calls.push(what);
      };
      attachment.map.sync(note('clean sync'));
      attachment.map.commit([], note('empty commit'));
      attachment.map.commit([{ chunk: 1, layer }], note('commit'));
      attachment.map.sync(note('sync'));
      returned = true;
      await sync(attachment);
      await attachment.release();
      expect([...calls].sort()).toEqual(['clean sync', 'commit', 'empty commit', 'sync']);
      // A sync covers what was committed before it.
      expect(calls.indexOf('sync')).toBeGreaterThan(calls.indexOf('commit'));
    });

    it('takes commits and syncs from within its callbacks', async () => {
      const { layer } = await create('a');
      const attachment = await here.attach('a', WRITE);
      await new Promise<void>((resolve) => {
        const next = (chunk: number): void => {
          if (chunk === 20) return void attachment.map.sync(() => resolve());
          attachment.map.commit([{ chunk, layer }], () => next(chunk + 1));
        };
        next(0);
      });
      expect((await loadEntries(attachment)).length).toBe(20);
    });

    it('answers a sync that is asked for when another one ends, behind a commit', async () => {
      const { layer } = await create('a');
      const { map } = await here.attach('a', WRITE);
      const answered = new Promise<number>((resolve) => {
        map.commit([{ chunk: 1, layer }], () => {});
        map.sync(() => map.sync(resolve));
      });
      const late = new Promise<number>((resolve) => setTimeout(resolve, 5_000, -1).unref());
      expect(await Promise.race([answered, late])).toBe(0);
    });

    it('refuses to be written through a read-only attachment, or a released one', async () => {
      const { layer } = await create('a');
      const reader = await here.attach('a', READ);
      expect(await commit(reader, [{ chunk: 0, layer }])).not.toBe(0);
      expect(await loadEntries(reader)).toEqual([]);
      await reader.release();
      const writer = await here.attach('a', WRITE);
      await writer.release();
      expect(await commit(writer, [{ chunk: 0, layer }])).not.toBe(0);
      expect(await sync(writer)).not.toBe(0);
    });

    it('follows a model through random commits, kills and attaches', async () => {
      const seed = Number(process.env.SEED ?? 20261122);
      const random = seededRandom(seed);
      const { layer } = await create('a', 2500 * CHUNK);
      const model = new Map<number, number>();
      for (let round = 0; round < 6; round++) {
        const view = await pool.open();
        const attachment = await view.attach('a', WRITE);
        const expected = [...model].filter(([, owner]) => owner !== 0).sort(([a], [b]) => a - b);
        expect({ seed, round, entries: await loadEntries(attachment) }).toEqual({
          seed,
          round,
          entries: expected,
        });
        const ends: Promise<number>[] = [];
        for (let i = 0; i < 25; i++) {
          const start = Math.floor(random() * 2500);
          const count = Math.min(2500 - start, 1 + Math.floor(random() * 40));
          const owner = random() < 0.7 ? layer : 0;
          const entries = Array.from({ length: count }, (_, k) => ({
            chunk: start + ((k * 7) % count),
            layer: owner,
          }));
          for (const entry of entries) model.set(entry.chunk, owner);
          ends.push(commit(attachment, entries));
          if (random() < 0.2) ends.push(sync(attachment));
        }
        await Promise.all(ends);
        await (random() < 0.5 ? pool.kill(view) : view.close());
      }
    });

    it.each([
      ['8 TiB', 8 * 2 ** 40, CHUNK],
      ['8 PiB less a sector', 2 ** 53 - 512, CHUNK],
    ])('of %s is there at once, and reaches its last chunk', async (_size, bytes, chunkBytes) => {
      const { layer } = await create('big', bytes, chunkBytes);
      const chunk = Math.ceil(bytes / chunkBytes) - 1;
      const attachment = await here.attach('big', WRITE);
      expect(await loadEntries(attachment)).toEqual([]);
      expect(await commit(attachment, [{ chunk, layer }])).toBe(0);
      expect(await sync(attachment)).toBe(0);
      await attachment.release();
      expect(await loadEntries(await here.attach('big', WRITE))).toEqual([[chunk, layer]]);
      expect(await here.countChunks('big')).toBe(1);
    });

    it('of the smallest volume has one entry', async () => {
      const { layer } = await create('a', 512);
      const attachment = await here.attach('a', WRITE);
      await commit(attachment, [{ chunk: 0, layer }]);
      const lengths: number[] = [];
      await attachment.map.load((_index, entries) => lengths.push(entries.length));
      expect(lengths).toEqual([1]);
    });
  });

  describe('startLayer', () => {
    it('freezes the layer and gives one that nobody had', async () => {
      const first = await create('a');
      const other = await create('b');
      const attachment = await here.attach('a', WRITE);
      await commit(attachment, [{ chunk: 1, layer: first.layer }]);
      const second = await attachment.startLayer();
      expect([first.layer, other.layer]).not.toContain(second.layer);
      expect(second).toEqual({
        ...first,
        epoch: 1,
        layer: second.layer,
        frozenLayers: [first.layer],
      });
      expect(attachment.record).toEqual(second);
      const third = await attachment.startLayer();
      expect(third.frozenLayers).toEqual([first.layer, second.layer]);
      await commit(attachment, [{ chunk: 2, layer: third.layer }]);
      await attachment.release();
      const next = await here.attach('a', WRITE);
      expect(next.record).toEqual({ ...third, epoch: 2 });
      expect(await loadEntries(next)).toEqual([
        [1, first.layer],
        [2, third.layer],
      ]);
    });

    it('is refused to readers and after the release', async () => {
      await create('a');
      const reader = await here.attach('a', READ);
      await expect(reader.startLayer()).rejects.toEqual(refusal('VOLUME_READ_ONLY'));
      await reader.release();
      const writer = await here.attach('a', WRITE);
      await writer.release();
      await expect(writer.startLayer()).rejects.toEqual(refusal('VOLUME_READ_ONLY'));
      expect((await here.read('a')).frozenLayers).toEqual([]);
    });
  });
}
