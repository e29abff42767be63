/** The contract's part about fences and about processes that stand by. */
import type { Coordination } from '../../lib/coordination/coordination';
import { FENCE_OPEN } from '../../lib/fence';
import { CHUNK, commit, loadEntries, refusal, WRITE, type PoolUnderTest } from './pool-under-test';

export function describeStandby(given: () => { pool: PoolUnderTest; here: Coordination }): void {
  let pool: PoolUnderTest;
  let here: Coordination;
  let layer: number;
  beforeEach(async () => {
    ({ pool, here } = given());
    const volume = { name: 'a', sizeBytes: 3000 * CHUNK, chunkBytes: CHUNK };
    ({ layer } = await here.create(volume));
  });

  it('an attachment may be used at once, whether it has a fence or needs none', async () => {
    const { fence } = await here.attach('a', WRITE);
    expect(fence === null || fence.state() === FENCE_OPEN).toBe(true);
  });

  it.each(['released', 'killed'])('a standby has the volume when its owner is %s', async (how) => {
    const before = await here.attach('a', WRITE);
    const there = await pool.open();
    const standby = await there.standBy('a');
    expect(standby.record.name).toBe('a');
    expect(await commit(before, [{ chunk: 7, layer }])).toBe(0);
    if (how === 'killed') await pool.kill(here);
    else await before.release();
    const after = await standby.attached;
    expect(after.uncleanBefore).toBe(how === 'killed');
    expect(after.record.epoch).toBe(2);
    expect(await loadEntries(after)).toEqual([[7, layer]]);
    expect(await commit(after, [{ chunk: 8, layer }])).toBe(0);
  });

  it('a standby is listed, and handed the volume with nobody between', async () => {
    const before = await here.attach('a', WRITE);
    expect(await commit(before, [{ chunk: 7, layer }])).toBe(0);
    const there = await pool.open();
    const standby = await there.standBy('a');
    expect(await here.standbys('a')).toEqual([standby.name]);
    await before.handOver(standby.name);
    const after = await standby.attached;
    expect(after.uncleanBefore).toBe(false);
    expect(after.record.epoch).toBe(2);
    expect(await loadEntries(after)).toEqual([[7, layer]]);
    expect(await commit(before, [{ chunk: 8, layer }])).not.toBe(0);
    expect(await there.standbys('a')).toEqual([]);
    const bystander = await pool.open();
    await expect(bystander.attach('a', WRITE)).rejects.toEqual(refusal('VOLUME_ATTACHED'));
  });

  it('a hand-over to nobody, or to nobody knows whom, interrupts nothing', async () => {
    const owner = await here.attach('a', WRITE);
    await expect(owner.handOver()).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    const there = await pool.open();
    await there.standBy('a');
    await expect(owner.handOver('nobody:1')).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    await (await pool.open()).standBy('a');
    await expect(owner.handOver()).rejects.toEqual(refusal('STANDBY_AMBIGUOUS'));
    expect(await commit(owner, [{ chunk: 7, layer }])).toBe(0);
  });

  it('a standby that is cancelled, or whose pool is closed, takes nothing', async () => {
    const owner = await here.attach('a', WRITE);
    const there = await pool.open();
    const first = await there.standBy('a');
    const second = await there.standBy('a');
    await first.cancel();
    await expect(first.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
    await there.close();
    await expect(second.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
    expect(await here.standbys('a')).toEqual([]);
    await owner.release();
    expect(await here.owner('a')).toBeNull();
  });

  it('nobody stands by for a volume that is not there', async () => {
    await expect(here.standBy('nix')).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
    await expect(here.standbys('nix')).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
  });
}
