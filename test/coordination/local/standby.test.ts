/** One that waits for a volume of a local pool: gets it when it is free, however it became so. */
import { commit, refusal, WRITE, type PoolUnderTest } from '../pool-under-test';
import { makeLocalPool } from './local-pool';

describe('a standby of a local pool', () => {
  let pool: PoolUnderTest;

  beforeEach(async () => {
    pool = await makeLocalPool();
  });
  afterEach(() => pool.dispose());

  const volume = { name: 'a', sizeBytes: 1 << 30, chunkBytes: 1 << 22 };

  it.each(['released', 'killed'])('gets the volume when its owner has %s', async (how) => {
    const here = await pool.open();
    await here.create(volume);
    const before = await here.attach('a', WRITE);
    expect(await commit(before, [{ chunk: 3, layer: before.record.layer }])).toBe(0);
    const there = await pool.open();
    const standby = await there.standBy('a');
    let isAttached = false;
    void standby.attached.then(() => (isAttached = true));
    await there.read('a');
    expect(isAttached).toBe(false);
    if (how === 'killed') await pool.kill(here);
    else await before.release();
    const after = await standby.attached;
    expect(after.record.epoch).toBe(before.record.epoch + 1);
    expect(after.uncleanBefore).toBe(how === 'killed');
  });

  it('takes nothing once it is cancelled', async () => {
    const here = await pool.open();
    await here.create(volume);
    const before = await here.attach('a', WRITE);
    const there = await pool.open();
    const standby = await there.standBy('a');
    await standby.cancel();
    await expect(standby.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
    await before.release();
    expect(await here.owner('a')).toBeNull();
  });

  it('is cancelled where its coordination is closed', async () => {
    const here = await pool.open();
    await here.create(volume);
    await here.attach('a', WRITE);
    const there = await pool.open();
    const standby = await there.standBy('a');
    await there.close();
    await expect(standby.attached).rejects.toEqual(refusal('STANDBY_CANCELLED'));
  });

  it('is handed the volume, and nobody comes between', async () => {
    const here = await pool.open();
    await here.create(volume);
    const before = await here.attach('a', WRITE);
    expect(await commit(before, [{ chunk: 3, layer: before.record.layer }])).toBe(0);
    expect(await here.standbys('a')).toEqual([]);
    await expect(before.handOver()).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    const there = await pool.open();
    const standby = await there.standBy('a');
    expect(await here.standbys('a')).toEqual([standby.name]);
    await expect(before.handOver('other:1')).rejects.toEqual(refusal('STANDBY_NOT_FOUND'));
    // Asked before the standby has tried again: only the promise keeps it out.
    const third = await pool.open();
    const order: string[] = [];
    const robbing = before.handOver(standby.name).then(async () => {
      for (const options of [WRITE, { readOnly: true }]) {
        await third.attach('a', options).then(
          () => order.push('robbed'),
          (error: unknown) => expect(error).toEqual(refusal('VOLUME_ATTACHED')),
        );
      }
    });
    const after = await standby.attached;
    await robbing;
    expect(order).toEqual([]);
    expect(after.uncleanBefore).toBe(false);
    expect(after.record.epoch).toBe(before.record.epoch + 1);
    expect(await here.standbys('a')).toEqual([]);
    await after.release();
    await (await third.attach('a', WRITE)).release();
  });

  it('is chosen by its name where there are several, and a dead one is forgotten', async () => {
    const here = await pool.open();
    await here.create(volume);
    const before = await here.attach('a', WRITE);
    const first = await (await pool.open()).standBy('a');
    const second = await pool.open();
    await second.standBy('a');
    // Both are of this process, so their name is one.
    await expect(before.handOver(first.name)).rejects.toEqual(refusal('STANDBY_AMBIGUOUS'));
    await pool.kill(second);
    expect(await here.standbys('a')).toEqual([first.name]);
    await before.handOver();
    expect((await first.attached).uncleanBefore).toBe(false);
  });

  it('leaves the volume to anybody where it dies before it has taken it', async () => {
    const here = await pool.open();
    await here.create(volume);
    const before = await here.attach('a', WRITE);
    const mortal = await pool.open();
    await mortal.standBy('a');
    const handing = before.handOver();
    await pool.kill(mortal);
    await handing.catch(() => {});
    await before.release();
    const after = await (await pool.open()).attach('a', WRITE);
    expect(after.record.epoch).toBeGreaterThan(before.record.epoch);
  });

  it('does not take the volume from a process that lives', async () => {
    const here = await pool.open();
    await here.create(volume);
    await here.attach('a', WRITE);
    const there = await pool.open();
    const stealing = there.attach('a', { readOnly: false, steal: true });
    await expect(stealing).rejects.toEqual(refusal('STEAL_UNSUPPORTED'));
    expect(await here.owner('a')).not.toBeNull();
  });

  it('is told that there is no such volume', async () => {
    const here = await pool.open();
    await expect(here.standBy('nix')).rejects.toEqual(refusal('VOLUME_NOT_FOUND'));
  });
});
