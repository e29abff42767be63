/** What a volume does with transfers, chunk by chunk: order, failures, parked transfers, ends. */
import { Random } from './doubles/random';
import { CHUNKS, VolumeOnDoubles } from './volume-on-doubles';

const EIO = 5;
const ENOSPC = 28;

/** A volume whose chunk 3 lies in a frozen layer and holds the value 7 in its first two sectors. */
async function withSnapshot(): Promise<VolumeOnDoubles> {
  const before = await VolumeOnDoubles.open();
  before.write(3, 0, 7, 2);
  before.letAll();
  return VolumeOnDoubles.open({ media: before.media, layer: 2 });
}

describe('a chunk that nobody owns', () => {
  test('reads as zeros without the store', async () => {
    const disk = await VolumeOnDoubles.open();
    const read = disk.read(0, 3);
    expect(read.errno).toBe(0);
    expect(read.io.memory.bytes.every((byte) => byte === 0)).toBe(true);
    expect(disk.schedule.log).toEqual([]);
    expect(disk.batches).toBe(1);
  });

  test('is not answered from inside submit', async () => {
    const disk = await VolumeOnDoubles.open();
    const read = disk.read(0, 0);
    read.errno = null;
    disk.volume.submit(read.io);
    expect(read.errno).toBeNull();
    disk.volume.kick();
    expect(read.errno).toBe(0);
  });

  test('takes its first write by punch, write, sync and map, and only then is it acknowledged', async () => {
    const disk = await VolumeOnDoubles.open();
    const write = disk.write(5, 1, 9);
    for (const kind of ['punch', 'write', 'sync', 'commit'] as const) {
      expect(write.errno).toBeNull();
      expect(disk.waiting).toEqual([kind]);
      expect(disk.volume.ownsInCurrentLayer(5)).toBe(false);
      disk.let(kind);
    }
    expect(write.errno).toBe(0);
    expect(disk.valueAt(5, 1)).toBe(9);
    expect(disk.valueAt(5, 0)).toBe(0);
    expect(disk.volume.counters.allocatedChunks).toBe(1);
  });

  test('keeps transfers waiting during its first write, and serves them after it', async () => {
    const disk = await VolumeOnDoubles.open();
    const first = disk.write(5, 0, 1);
    const second = disk.write(5, 0, 2);
    const read = disk.read(5, 0);
    const elsewhere = disk.read(6, 0);
    expect(elsewhere.errno).toBe(0);
    disk.letAll();
    expect([first.errno, second.errno, read.errno]).toEqual([0, 0, 0]);
    expect(disk.schedule.log.filter((kind) => kind === 'commit')).toHaveLength(1);
    expect(disk.valueAt(5, 0)).toBe(2);
  });

  test('first writes to many chunks share syncs and commits', async () => {
    const disk = await VolumeOnDoubles.open();
    const writes = Array.from({ length: CHUNKS }, (_, chunk) => disk.write(chunk, 0, chunk + 1));
    for (let i = 0; i < CHUNKS; i++) disk.let('punch');
    for (let i = 0; i < CHUNKS; i++) disk.let('write');
    disk.letAll();
    expect(writes.every(({ errno }) => errno === 0)).toBe(true);
    expect(disk.schedule.log.filter((kind) => kind === 'sync')).toHaveLength(2);
    expect(disk.schedule.log.filter((kind) => kind === 'commit')).toHaveLength(2);
  });

  test.each(['punch', 'write', 'sync', 'commit'] as const)(
    'stays unowned where the %s of its first write fails, and the next write starts anew',
    async (failing) => {
      const disk = await VolumeOnDoubles.open();
      const write = disk.write(5, 0, 9);
      while (disk.waiting[0] !== failing) disk.let(disk.waiting[0]);
      disk.let(failing, ENOSPC);
      disk.letAll();
      expect(write.errno).toBe(ENOSPC);
      expect(disk.valueAt(5, 0)).toBe(0);
      const again = disk.write(5, 1, 8);
      disk.letAll();
      expect(again.errno).toBe(0);
      expect([disk.valueAt(5, 0), disk.valueAt(5, 1)]).toEqual([0, 8]);
    },
  );

  test('still reads as zeros after a restart, where its first commit failed but was made', async () => {
    const disk = await VolumeOnDoubles.open();
    const write = disk.write(5, 0, 9);
    for (const kind of ['punch', 'write', 'sync'] as const) disk.let(kind);
    disk.let('commit', EIO, true);
    disk.letAll();
    expect(write.errno).toBe(EIO);
    const after = await VolumeOnDoubles.open({ media: disk.media, uncleanBefore: true });
    expect(after.volume.ownedChunks).toBe(1);
    expect(after.valueAt(5, 0)).toBe(0);
  });
});

describe('a chunk of a frozen layer', () => {
  test('is read where it lies', async () => {
    const disk = await withSnapshot();
    expect(disk.valueAt(3, 1)).toBe(7);
    expect(disk.schedule.log).toEqual(['read']);
  });

  test('is copied up by its first write, which is laid over it', async () => {
    const disk = await withSnapshot();
    const write = disk.write(3, 0, 9);
    for (const kind of ['read', 'write', 'sync', 'commit'] as const) {
      expect(write.errno).toBeNull();
      disk.let(kind);
    }
    expect(write.errno).toBe(0);
    expect([0, 1, 2].map((sector) => disk.valueAt(3, sector))).toEqual([9, 7, 0]);
    expect(disk.volume.counters.copiedChunks).toBe(1);
    const frozen = await VolumeOnDoubles.open({ media: disk.media, layer: 3 });
    expect(frozen.media.readSector(1, 3 * 16)?.readUInt32LE(0)).toBe(7);
  });

  test.each(['read', 'write', 'sync', 'commit'] as const)(
    'is still the old one where the %s of the copy fails',
    async (failing) => {
      const disk = await withSnapshot();
      const write = disk.write(3, 0, 9);
      while (disk.waiting[0] !== failing) disk.let(disk.waiting[0]);
      disk.let(failing, EIO);
      disk.letAll();
      expect(write.errno).toBe(EIO);
      expect([disk.valueAt(3, 0), disk.valueAt(3, 1)]).toEqual([7, 7]);
    },
  );

  test('many are copied up a few at a time, and all of them are', async () => {
    const before = await VolumeOnDoubles.open();
    for (let chunk = 0; chunk < CHUNKS; chunk++) before.write(chunk, 0, chunk + 1, 2);
    before.letAll();
    const disk = await VolumeOnDoubles.open({ media: before.media, layer: 2 });
    const writes = Array.from({ length: CHUNKS }, (_, chunk) => disk.write(chunk, 0, 100 + chunk));
    expect(disk.waiting.length).toBeLessThan(CHUNKS);
    disk.letAll();
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      expect(writes[chunk].errno).toBe(0);
      expect([disk.valueAt(chunk, 0), disk.valueAt(chunk, 1)]).toEqual([100 + chunk, chunk + 1]);
    }
  });
});

describe('chunks that are dropped', () => {
  async function withChunk(): Promise<VolumeOnDoubles> {
    const disk = await VolumeOnDoubles.open();
    disk.write(5, 0, 9);
    disk.letAll();
    return disk;
  }

  test('count as owned until the map says otherwise, durably', async () => {
    const disk = await withChunk();
    let ended: number | null = null;
    disk.volume.dropChunks([5], (errno) => (ended = errno));
    expect(disk.volume.nextOwnedChunk(0, CHUNKS)).toBe(5);
    disk.let('sync');
    expect(disk.volume.nextOwnedChunk(0, CHUNKS)).toBe(5);
    disk.let('commit');
    expect(disk.volume.nextOwnedChunk(0, CHUNKS)).toBe(-1);
    expect(ended).toBeNull();
    disk.let('punch');
    expect(ended).toBe(0);
    expect(disk.volume.counters.discardedChunks).toBe(1);
    expect(disk.valueAt(5, 0)).toBe(0);
  });

  test('keep transfers waiting', async () => {
    const disk = await withChunk();
    disk.volume.dropChunks([5], () => {});
    const read = disk.read(5, 0);
    const write = disk.write(5, 1, 3);
    disk.let('sync');
    disk.let('commit');
    expect([read.errno, write.errno]).toEqual([null, null]);
    disk.letAll();
    expect([read.errno, write.errno]).toEqual([0, 0]);
    expect([disk.valueAt(5, 0), disk.valueAt(5, 1)]).toEqual([0, 3]);
  });

  test('wait for each other', async () => {
    const disk = await withChunk();
    const ended: string[] = [];
    disk.volume.dropChunks([4, 5], () => ended.push('first'));
    disk.volume.dropChunks([5, 6], () => ended.push('second'));
    disk.volume.punchWithin(5, 0, 512, () => ended.push('third'));
    disk.letAll();
    expect(ended.sort()).toEqual(['first', 'second', 'third']);
    expect(disk.volume.ownedChunks).toBe(0);
  });

  test('of a frozen layer are not punched', async () => {
    const disk = await withSnapshot();
    disk.volume.dropChunks([3], () => {});
    disk.letAll();
    expect(disk.schedule.log).toEqual(['sync', 'commit']);
    expect(disk.valueAt(3, 0)).toBe(0);
    expect(disk.media.readSector(1, 3 * 16)?.readUInt32LE(0)).toBe(7);
  });

  test('stay where the commit fails, and later writes survive even if the map lost them', async () => {
    const disk = await withChunk();
    const errnos: number[] = [];
    disk.volume.dropChunks([5], (errno) => errnos.push(errno));
    disk.let('sync');
    disk.let('commit', EIO, true);
    expect(errnos).toEqual([EIO]);
    expect(disk.valueAt(5, 0)).toBe(9);
    const write = disk.write(5, 1, 3);
    disk.letAll();
    expect(write.errno).toBe(0);
    const after = await VolumeOnDoubles.open({ media: disk.media, uncleanBefore: true });
    expect(after.valueAt(5, 1)).toBe(3);
    const commits = disk.schedule.log.filter((kind) => kind === 'commit').length;
    disk.write(5, 2, 4);
    disk.letAll();
    expect(disk.schedule.log.filter((kind) => kind === 'commit')).toHaveLength(commits);
  });

  test('whose entry cannot be told again refuse the write', async () => {
    const disk = await withChunk();
    disk.volume.dropChunks([5], () => {});
    disk.let('sync');
    disk.let('commit', EIO, true);
    const write = disk.write(5, 1, 3);
    disk.let('sync');
    disk.let('commit', EIO);
    expect(write.errno).toBe(EIO);
    expect(disk.waiting).toEqual([]);
  });
});

describe('a flush', () => {
  function flush(disk: VolumeOnDoubles): { errno: number | null } {
    const ended: { errno: number | null } = { errno: null };
    disk.volume.flush((errno) => (ended.errno = errno));
    return ended;
  }

  test('syncs data and, where entries were committed, the map', async () => {
    const disk = await VolumeOnDoubles.open();
    disk.write(5, 0, 9);
    disk.letAll();
    const first = flush(disk);
    expect(disk.waiting).toEqual(['sync', 'sync']);
    disk.let('sync');
    expect(first.errno).toBeNull();
    disk.let('sync');
    expect(first.errno).toBe(0);
    const second = flush(disk);
    expect(disk.waiting).toEqual(['sync']);
    disk.letAll();
    expect(second.errno).toBe(0);
    expect(disk.volume.counters.flushes).toBe(2);
  });

  test.each([0, 1])('fails where one of its two syncs does', async (failing) => {
    const disk = await VolumeOnDoubles.open();
    disk.write(5, 0, 9);
    disk.letAll();
    const failed = flush(disk);
    for (const i of [0, 1]) disk.let('sync', i === failing ? EIO : 0);
    expect(failed.errno).toBe(EIO);
    expect(disk.waiting).toEqual([]);
  });

  test('syncs the map again after its sync has failed', async () => {
    const disk = await VolumeOnDoubles.open();
    disk.write(5, 0, 9);
    disk.letAll();
    flush(disk);
    disk.let('sync', EIO);
    disk.let('sync', EIO);
    flush(disk);
    expect(disk.waiting).toEqual(['sync', 'sync']);
  });

  test('after a killed process makes what that one had acknowledged durable', async () => {
    const killed = await VolumeOnDoubles.open();
    killed.write(5, 0, 9);
    killed.letAll();
    killed.write(5, 1, 8);
    killed.letAll();
    const disk = await VolumeOnDoubles.open({ media: killed.media, uncleanBefore: true });
    flush(disk);
    disk.letAll();
    disk.media.powerCut(new Random(1), { sectors: 0, entries: 0 });
    const after = await VolumeOnDoubles.open({ media: disk.media, uncleanBefore: true });
    expect([after.valueAt(5, 0), after.valueAt(5, 1)]).toEqual([9, 8]);
  });
});

describe('the end', () => {
  test('flushes and releases', async () => {
    const disk = await VolumeOnDoubles.open();
    disk.write(5, 0, 9);
    disk.letAll();
    const closing = disk.volume.close();
    disk.letAll();
    await closing;
    expect(disk.attachment.isReleased).toBe(true);
  });

  test('keeps the volume attached where the last flush fails, and says so', async () => {
    const disk = await VolumeOnDoubles.open();
    const closing = disk.volume.close();
    disk.let('sync', EIO);
    await expect(closing).rejects.toMatchObject({
      code: 'LAST_FLUSH_FAILED',
      message: expect.stringMatching(
        /^volume disk could not be flushed before its end \(EIO\)/,
      ) as string,
    });
    expect(disk.attachment.isReleased).toBe(false);
  });
});
