/** What every coordination must do, whichever it is: run with each of them. */
import type { Coordination } from '../../lib/coordination/coordination';
import type { VolumeRecord } from '../../lib/coordination/volume-record';
import { describeMap } from './map-contract';
import { describeResize } from './resize-contract';
import { describeStandby } from './standby-contract';
import {
  CHUNK,
  failuresOf,
  MIB,
  READ,
  refusal,
  WRITE,
  type PoolUnderTest,
} from './pool-under-test';

export function describeCoordination(kind: string, make: () => Promise<PoolUnderTest>): void {
  describe(`coordination ${kind}`, () => {
    let pool: PoolUnderTest;
    let here: Coordination;

    beforeEach(async () => {
      pool = await make();
      here = await pool.open();
    });
    afterEach(() => pool.dispose());

    const create = (
      name: string,
      sizeBytes = 1024 * CHUNK,
      chunkBytes = CHUNK,
    ): Promise<VolumeRecord> => here.create({ name, sizeBytes, chunkBytes });

    describe('records', () => {
      it('are read as they were made, by other processes too', async () => {
        const record = await create('disk1', 10 * MIB, 64 * 1024);
        expect(record).toMatchObject({
          name: 'disk1',
          sizeBytes: 10 * MIB,
          chunkBytes: 64 * 1024,
          frozenLayers: [],
          epoch: 0,
        });
        const there = await pool.open();
        expect(await there.read('disk1')).toEqual(record);
      });

      it('are listed in the order of their names', async () => {
        expect(await here.list()).toEqual([]);
        for (const name of ['b', 'a', 'B', 'a1', '10', '9']) await create(name);
        const names = ['10', '9', 'B', 'a', 'a1', 'b'];
        expect((await here.list()).map(({ name }) => name)).toEqual(names);
        expect(await here.names()).toEqual(names);
      });

      it('have a layer each that no other ever had', async () => {
        const first = await create('a');
        const second = await create('b');
        await here.delete('b');
        const third = await create('b');
        expect(new Set([0, first.layer, second.layer, third.layer]).size).toBe(4);
        expect(third.uuid).not.toBe(second.uuid);
      });

      it('refuse a name that is taken', async () => {
        await create('a');
        await expect(create('a')).rejects.toEqual(refusal('VOLUME_EXISTS'));
      });

      it.each(['', '.a', '-a', 'a b', 'a/b', '../a', 'ä', 'a\n', 'a\0', 'x'.repeat(128)])(
        'refuse the name %j',
        async (name) => {
          await expect(create(name)).rejects.toEqual(refusal('NAME_INVALID'));
          await expect(here.read(name)).rejects.toEqual(refusal('NAME_INVALID'));
        },
      );

      it.each([
        [511, CHUNK, 'SIZE_NOT_SECTORS'],
        [0, CHUNK, 'SIZE_NOT_SECTORS'],
        [-512, CHUNK, 'SIZE_NOT_SECTORS'],
        [1024.5, CHUNK, 'SIZE_NOT_SECTORS'],
        [NaN, CHUNK, 'SIZE_NOT_SECTORS'],
        [2 ** 53, CHUNK, 'SIZE_TOO_LARGE'],
        [MIB, 3 * MIB, 'CHUNK_SIZE_REFUSED'],
        [MIB, 32 * 1024, 'CHUNK_SIZE_REFUSED'],
        [MIB, 128 * MIB, 'CHUNK_SIZE_REFUSED'],
        [2 ** 53 - 512, 2 * MIB, 'CHUNKS_TOO_MANY'],
      ])('refuse %d bytes in chunks of %d', async (sizeBytes, chunkBytes, code) => {
        await expect(create('a', sizeBytes, chunkBytes)).rejects.toEqual(refusal(code));
        expect(await here.names()).toEqual([]);
      });

      it('that are not there are named as missing', async () => {
        const missing = refusal('VOLUME_NOT_FOUND');
        await expect(here.read('nix')).rejects.toEqual(missing);
        await expect(here.owner('nix')).rejects.toEqual(missing);
        await expect(here.attach('nix', WRITE)).rejects.toEqual(missing);
        await expect(here.countChunks('nix')).rejects.toEqual(missing);
        await expect(here.delete('nix')).rejects.toEqual(missing);
      });

      it('made at once under one name: one is made', async () => {
        const views = await Promise.all([pool.open(), pool.open(), pool.open(), pool.open()]);
        const volume = { name: 'a', sizeBytes: MIB, chunkBytes: CHUNK };
        const ends = await Promise.allSettled(views.map((view) => view.create(volume)));
        expect(failuresOf(ends)).toEqual(Array(3).fill(refusal('VOLUME_EXISTS')));
        expect((await here.list()).length).toBe(1);
      });

      it('made at once under many names: each has its own layer', async () => {
        const views = await Promise.all([pool.open(), pool.open(), pool.open(), pool.open()]);
        const records = await Promise.all(
          views.map((view, i) => view.create({ name: `v${i}`, sizeBytes: MIB, chunkBytes: CHUNK })),
        );
        expect(new Set(records.map(({ layer }) => layer)).size).toBe(4);
      });
    });

    describe('attach', () => {
      it('raises the epoch for a writer, and tells the owner', async () => {
        await create('a');
        expect(await here.owner('a')).toBeNull();
        const first = await here.attach('a', WRITE);
        expect(first.record.epoch).toBe(1);
        expect(first.readOnly).toBe(false);
        const there = await pool.open();
        expect(await there.owner('a')).toEqual({
          host: expect.stringMatching(/./) as string,
          pid: process.pid,
          readOnly: false,
          attachedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        });
        await first.release();
        expect(await there.owner('a')).toBeNull();
        const second = await there.attach('a', WRITE);
        expect(second.record.epoch).toBe(2);
        expect((await here.read('a')).epoch).toBe(2);
      });

      it('refuses a second writer with the name of the first', async () => {
        await create('a');
        await here.attach('a', WRITE);
        const there = await pool.open();
        const { host } = (await there.owner('a'))!;
        for (const view of [here, there]) {
          await expect(view.attach('a', WRITE)).rejects.toMatchObject({
            code: 'VOLUME_ATTACHED',
            message: expect.stringContaining(`process ${process.pid} on host ${host}`) as string,
            transient: true,
          });
        }
        await expect(there.attach('a', READ)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
      });

      it('lets readers share while nobody writes', async () => {
        await create('a');
        const there = await pool.open();
        const first = await here.attach('a', READ);
        const second = await there.attach('a', READ);
        expect(first.readOnly && second.readOnly).toBe(true);
        expect(await here.owner('a')).toMatchObject({ pid: process.pid, readOnly: true });
        await expect(here.attach('a', WRITE)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
        await first.release();
        await expect(here.attach('a', WRITE)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
        await second.release();
        // A reader leaves no trace: neither an epoch nor a doubt.
        const writer = await here.attach('a', WRITE);
        expect(writer.record.epoch).toBe(1);
        expect(writer.uncleanBefore).toBe(false);
      });

      it('of one volume leaves the others alone', async () => {
        await create('a');
        await create('b');
        await here.attach('a', WRITE);
        await here.attach('b', WRITE);
        expect(await here.owner('b')).not.toBeNull();
      });

      it('at once by many: one has it', async () => {
        await create('a');
        const views = await Promise.all([pool.open(), pool.open(), pool.open(), pool.open()]);
        const ends = await Promise.allSettled(views.map((view) => view.attach('a', WRITE)));
        expect(failuresOf(ends)).toEqual(Array(3).fill(refusal('VOLUME_ATTACHED')));
        expect((await here.read('a')).epoch).toBe(1);
      });

      it('ends with a release, which may be repeated', async () => {
        await create('a');
        const attachment = await here.attach('a', WRITE);
        await Promise.all([attachment.release(), attachment.release()]);
        await attachment.release();
        const next = await here.attach('a', WRITE);
        await attachment.release();
        expect(await here.owner('a')).not.toBeNull();
        expect(next.uncleanBefore).toBe(false);
      });

      it('ends when its process closes the pool', async () => {
        await create('a');
        const there = await pool.open();
        await there.attach('a', WRITE);
        await there.close();
        expect((await here.attach('a', WRITE)).uncleanBefore).toBe(false);
      });

      it('is not hindered by an owner that died, and tells of it once', async () => {
        await create('a');
        const there = await pool.open();
        await there.attach('a', WRITE);
        await pool.kill(there);
        expect(await here.owner('a')).toBeNull();
        const reader = await here.attach('a', READ);
        expect(reader.uncleanBefore).toBe(true);
        await reader.release();
        const writer = await here.attach('a', WRITE);
        expect(writer.uncleanBefore).toBe(true);
        expect(writer.record.epoch).toBe(2);
        await writer.release();
        expect((await here.attach('a', WRITE)).uncleanBefore).toBe(false);
      });

      it('is not hindered by a reader that died', async () => {
        await create('a');
        const there = await pool.open();
        await there.attach('a', READ);
        await pool.kill(there);
        expect(await here.owner('a')).toBeNull();
        expect((await here.attach('a', WRITE)).uncleanBefore).toBe(false);
      });
    });

    describeMap(() => ({ pool, here }));
    describe('a resize', () => describeResize(() => ({ pool, here })));
    describe('standing by', () => describeStandby(() => ({ pool, here })));

    describe('delete', () => {
      it('returns the layers, and is pending until it is finished', async () => {
        const { layer, uuid, chunkBytes } = await create('a');
        const attachment = await here.attach('a', WRITE);
        const { layer: second } = await attachment.startLayer();
        await attachment.release();
        const layers = [layer, second].sort();
        expect([...(await here.delete('a'))].sort()).toEqual(layers);
        expect(await here.names()).toEqual([]);
        const there = await pool.open();
        const [pending, ...more] = await there.pendingDeletions();
        expect(more).toEqual([]);
        expect({ ...pending, layers: [...pending.layers].sort() }).toEqual({
          name: 'a',
          uuid,
          chunkBytes,
          layers,
        });
        await there.finishDeletion(uuid);
        expect(await here.pendingDeletions()).toEqual([]);
        await there.finishDeletion(uuid);
      });

      it('frees the name at once', async () => {
        const old = await create('a');
        await here.delete('a');
        const anew = await create('a');
        expect(anew.layer).not.toBe(old.layer);
        expect((await here.pendingDeletions()).map(({ layers }) => layers)).toEqual([[old.layer]]);
        await here.delete('a');
        expect((await here.pendingDeletions()).length).toBe(2);
      });

      it.each([WRITE, READ])('is refused while somebody has it, %j', async (mode) => {
        await create('a');
        const there = await pool.open();
        const attachment = await there.attach('a', mode);
        await expect(here.delete('a')).rejects.toEqual(refusal('VOLUME_ATTACHED'));
        expect(await here.names()).toEqual(['a']);
        await attachment.release();
        await here.delete('a');
      });
    });
  });
}
