/** The contract's part about volumes that get another size. */
import {
  MAP_PAGE_ENTRIES,
  type Attachment,
  type Coordination,
} from '../../lib/coordination/coordination';
import {
  CHUNK,
  commit,
  loadEntries,
  MIB,
  READ,
  refusal,
  seededRandom,
  WRITE,
  type PoolUnderTest,
} from './pool-under-test';

export function describeResize(given: () => { pool: PoolUnderTest; here: Coordination }): void {
  let pool: PoolUnderTest;
  let here: Coordination;
  beforeEach(() => {
    ({ pool, here } = given());
  });

  const attachNew = async (chunks: number): Promise<Attachment> => {
    await here.create({ name: 'a', sizeBytes: chunks * CHUNK, chunkBytes: CHUNK });
    return here.attach('a', WRITE);
  };

  it('is seen by all, and nothing else of the record changes', async () => {
    const attachment = await attachNew(10);
    const before = attachment.record;
    const sizeBytes = 10 * CHUNK + 512;
    expect(await attachment.resize(sizeBytes)).toEqual({ ...before, sizeBytes });
    expect(attachment.record.sizeBytes).toBe(sizeBytes);
    const there = await pool.open();
    expect(await there.read('a')).toEqual({ ...before, sizeBytes });
    await attachment.release();
    expect((await there.attach('a', WRITE)).record).toEqual({ ...before, sizeBytes, epoch: 2 });
  });

  it('outlives the death of its process', async () => {
    await here.create({ name: 'a', sizeBytes: CHUNK, chunkBytes: CHUNK });
    const there = await pool.open();
    await (await there.attach('a', WRITE)).resize(3 * CHUNK);
    await pool.kill(there);
    const next = await here.attach('a', WRITE);
    expect(next.record.sizeBytes).toBe(3 * CHUNK);
    expect(await commit(next, [{ chunk: 2, layer: next.record.layer }])).toBe(0);
  });

  it.each([
    ['within a page', 5, 900],
    ["to a page's end", 1000, MAP_PAGE_ENTRIES],
    ['beyond a page by one', MAP_PAGE_ENTRIES, MAP_PAGE_ENTRIES + 1],
    ['by many pages', 700, 5 * MAP_PAGE_ENTRIES + 7],
  ])('larger %s: old entries stay, new ones are taken', async (_how, before, after) => {
    const attachment = await attachNew(before);
    const { layer } = attachment.record;
    const old = [0, before - 1];
    await commit(
      attachment,
      old.map((chunk) => ({ chunk, layer })),
    );
    await attachment.resize(after * CHUNK);
    const added = [...new Set([before, after - 1])];
    expect(
      await commit(
        attachment,
        added.map((chunk) => ({ chunk, layer })),
      ),
    ).toBe(0);
    const expected = [...new Set([...old, ...added])].map((chunk) => [chunk, layer]);
    expect(await loadEntries(attachment)).toEqual(expected);
    await attachment.release();
    const there = await pool.open();
    expect(await there.countChunks('a')).toBe(expected.length);
    const reader = await there.attach('a', READ);
    expect(await loadEntries(reader)).toEqual(expected);
    const told: number[] = [];
    await reader.map.load((pageIndex, entries) =>
      told.push(pageIndex * MAP_PAGE_ENTRIES + entries.length),
    );
    expect(Math.max(...told)).toBe(after);
  });

  it('smaller cuts the map off, and larger again begins with zeros', async () => {
    const attachment = await attachNew(3 * MAP_PAGE_ENTRIES);
    const { layer } = attachment.record;
    const chunks = [1, MAP_PAGE_ENTRIES + 3, 3 * MAP_PAGE_ENTRIES - 1];
    await commit(
      attachment,
      chunks.map((chunk) => ({ chunk, layer })),
    );
    await commit(
      attachment,
      chunks.slice(1).map((chunk) => ({ chunk, layer: 0 })),
    );
    await attachment.resize(3 * CHUNK);
    expect(await loadEntries(attachment)).toEqual([[1, layer]]);
    await attachment.release();
    const next = await here.attach('a', WRITE);
    expect(await loadEntries(next)).toEqual([[1, layer]]);
    await next.resize(4 * MAP_PAGE_ENTRIES * CHUNK);
    expect(await loadEntries(next)).toEqual([[1, layer]]);
    const last = 4 * MAP_PAGE_ENTRIES - 1;
    expect(await commit(next, [{ chunk: last, layer }])).toBe(0);
    expect(await loadEntries(next)).toEqual([
      [1, layer],
      [last, layer],
    ]);
  });

  it('keeps commits that are under way', async () => {
    const attachment = await attachNew(1000);
    const { layer } = attachment.record;
    const ends: Promise<number>[] = [];
    const resized: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      ends.push(commit(attachment, [{ chunk: 990 + (i % 10), layer }]));
      if (i % 5 === 0) resized.push(attachment.resize((1000 + 10 * i) * CHUNK));
    }
    expect(await Promise.all(ends)).toEqual(Array(20).fill(0));
    await Promise.all(resized);
    expect(attachment.record.sizeBytes).toBe(1150 * CHUNK);
    expect((await loadEntries(attachment)).length).toBe(10);
  });

  it('and a new layer asked for at once: both are there', async () => {
    const attachment = await attachNew(10);
    const { layer } = attachment.record;
    await Promise.all([
      attachment.startLayer(),
      attachment.resize(11 * CHUNK),
      attachment.startLayer(),
      attachment.resize(12 * CHUNK),
    ]);
    const record = await (await pool.open()).read('a');
    expect(record).toEqual(attachment.record);
    expect(record.sizeBytes).toBe(12 * CHUNK);
    expect(record.frozenLayers.length).toBe(2);
    expect(record.frozenLayers).toContain(layer);
  });

  it('to the size that it has changes nothing', async () => {
    const attachment = await attachNew(10);
    const before = attachment.record;
    expect(await attachment.resize(10 * CHUNK)).toEqual(before);
  });

  it.each([
    [10 * CHUNK + 1, 'SIZE_NOT_SECTORS'],
    [0, 'SIZE_NOT_SECTORS'],
    [2 ** 53, 'SIZE_TOO_LARGE'],
    [NaN, 'SIZE_NOT_SECTORS'],
  ])('to %d bytes is refused', async (sizeBytes, code) => {
    const attachment = await attachNew(10);
    await expect(attachment.resize(sizeBytes)).rejects.toEqual(refusal(code));
    expect((await here.read('a')).sizeBytes).toBe(10 * CHUNK);
  });

  it('to more chunks than a map has is refused, up to it is not', async () => {
    const chunkBytes = 64 * 1024;
    await here.create({ name: 'a', sizeBytes: MIB, chunkBytes });
    const attachment = await here.attach('a', WRITE);
    const most = 2 ** 31 * chunkBytes;
    await expect(attachment.resize(most + 512)).rejects.toEqual(refusal('CHUNKS_TOO_MANY'));
    await attachment.resize(most);
    const { layer } = attachment.record;
    expect(await commit(attachment, [{ chunk: 2 ** 31 - 1, layer }])).toBe(0);
    expect(await loadEntries(attachment)).toEqual([[2 ** 31 - 1, layer]]);
  });

  it('is refused to readers and after the release', async () => {
    await (await attachNew(10)).release();
    const reader = await here.attach('a', READ);
    await expect(reader.resize(20 * CHUNK)).rejects.toEqual(refusal('VOLUME_READ_ONLY'));
    await reader.release();
    const writer = await here.attach('a', WRITE);
    await writer.release();
    await expect(writer.resize(20 * CHUNK)).rejects.toEqual(refusal('VOLUME_READ_ONLY'));
    expect((await here.read('a')).sizeBytes).toBe(10 * CHUNK);
  });

  it('is what a standby finds that was ready before', async () => {
    const attachment = await attachNew(MAP_PAGE_ENTRIES);
    const { layer } = attachment.record;
    await commit(attachment, [{ chunk: 3, layer }]);
    const there = await pool.open();
    const standby = await there.standBy('a');
    await attachment.resize(3 * MAP_PAGE_ENTRIES * CHUNK);
    const last = 3 * MAP_PAGE_ENTRIES - 1;
    await commit(attachment, [{ chunk: last, layer }]);
    await attachment.handOver();
    const next = await standby.attached;
    expect(next.record.sizeBytes).toBe(3 * MAP_PAGE_ENTRIES * CHUNK);
    expect(await loadEntries(next)).toEqual([
      [3, layer],
      [last, layer],
    ]);
  });

  it('follows a model through random sizes, commits and kills', async () => {
    const seed = Number(process.env.SEED ?? 20261122);
    const random = seededRandom(seed);
    const chunksMax = 3000;
    let chunks = 700;
    await (await attachNew(chunks)).release();
    const { layer } = await here.read('a');
    const model = new Set<number>();
    for (let round = 0; round < 6; round++) {
      const view = await pool.open();
      const attachment = await view.attach('a', WRITE);
      const entries = await loadEntries(attachment);
      const expected = [...model].sort((a, b) => a - b).map((chunk) => [chunk, layer]);
      expect({ seed, round, entries }).toEqual({ seed, round, entries: expected });
      for (let i = 0; i < 6; i++) {
        const size = 1 + Math.floor(random() * chunksMax);
        const lost = [...model].filter((chunk) => chunk >= size);
        await commit(
          attachment,
          lost.map((chunk) => ({ chunk, layer: 0 })),
        );
        for (const chunk of lost) model.delete(chunk);
        await attachment.resize(size * CHUNK);
        chunks = size;
        const start = Math.floor(random() * chunks);
        const count = Math.min(chunks - start, 1 + Math.floor(random() * 30));
        const written = Array.from({ length: count }, (_, k) => ({ chunk: start + k, layer }));
        expect(await commit(attachment, written)).toBe(0);
        for (const { chunk } of written) model.add(chunk);
      }
      await (random() < 0.5 ? pool.kill(view) : view.close());
    }
    expect(await here.countChunks('a')).toBe(model.size);
  });
}
