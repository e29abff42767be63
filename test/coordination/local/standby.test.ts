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

  it('cannot be named, nor the volume be taken from a process that lives', async () => {
    const here = await pool.open();
    await here.create(volume);
    const owner = await here.attach('a', WRITE);
    expect(await here.standbys('a')).toEqual([]);
    await expect(owner.handOver()).rejects.toEqual(refusal('HAND_OVER_UNSUPPORTED'));
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
