/** The life of requests in a VBD: answered once, in batches, in the order that they may ask for. */
import { MemoryStore } from '../../lib/store/memory-store';
import { TRANSFERS_MAX, REQUESTS_MAX, DRAIN_TIMEOUT_MS } from '../../lib/vbd/limits';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  STATUS_ERROR,
  STATUS_OKAY,
  type RequestSource,
} from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { Guest, turns, until } from './guest';
import { openInstantVolume } from './instant-volume';
import { CHUNK_SECTORS, openWrittenDisk } from './written-disk';

const EIO = 5;
const EINVAL = 22;

const read = { operation: REQUEST_READ, sectorCount: 1 } as const;
const write = { operation: REQUEST_WRITE, sectorCount: 1, value: 9 } as const;
const flush = { operation: REQUEST_FLUSH } as const;

describe('a request', () => {
  test('is answered once, after kick, and its source is told after the batch', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    const answer = guest.submit('read', read);
    disk.letAll();
    expect(answer.status).toBeNull();
    vbd.kick();
    expect(vbd.inFlight).toBe(1);
    disk.letAll();
    expect(answer.status).toBe(STATUS_OKAY);
    expect(guest.log).toEqual(['read', 'batch']);
    expect(vbd.inFlight).toBe(0);
  });

  test('reads and writes its runs in their order, across chunks', async () => {
    const { disk, guest } = await openWrittenDisk();
    const wanted = { sector: CHUNK_SECTORS - 2, sectorCount: 5, runs: [512, 1024, 1024] };
    const answer = guest.send('read', { operation: REQUEST_READ, ...wanted });
    disk.letAll();
    // The guest's runs lie in reverse in its memory, each with a gap of 512 bytes after it.
    const expected = Buffer.alloc(4096, 0xee).fill(2, 0, 1024).fill(2, 1536, 2048);
    expected.fill(1, 3072, 3584).fill(1, 1536, 2048).fill(2, 2048, 2560);
    expect(answer.bytes.equals(expected)).toBe(true);
  });

  test('that fails in one of its transfers fails once, when all of them have ended', async () => {
    const { disk, guest } = await openWrittenDisk();
    const wanted = { ...read, sectorCount: 3, runs: [512, 512, 512] };
    const answer = guest.send('read', wanted);
    expect(disk.waiting).toEqual(['read', 'read', 'read']);
    disk.let('read');
    disk.let('read', EIO);
    expect(answer.status).toBeNull();
    disk.let('read');
    expect(answer).toMatchObject({ status: STATUS_ERROR, errno: EIO });
    const next = guest.send('next', read);
    disk.letAll();
    expect(next.status).toBe(STATUS_OKAY);
  });

  test('that is refused is answered at the kick, without touching the volume', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    const bad = guest.submit('bad', { ...read, sector: vbd.sectors });
    const good = guest.submit('good', read);
    expect(bad.status).toBeNull();
    vbd.kick();
    expect(bad).toMatchObject({ status: STATUS_ERROR, errno: EINVAL });
    expect(disk.waiting).toEqual(['read']);
    disk.letAll();
    expect(good.status).toBe(STATUS_OKAY);
    expect(guest.answered).toEqual(['bad', 'good']);
  });

  test('is seen by the observer before and after, refused ones too', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    const seen: string[] = [];
    vbd.observer = {
      requestStarted: ({ sector, memory }) => seen.push(`start ${sector} ${memory.bytes[0]}`),
      requestEnded: ({ sector, status }, latencyUs) => {
        expect(latencyUs).toBeGreaterThanOrEqual(0);
        seen.push(`end ${sector} ${status}`);
      },
    };
    guest.send('bad', { ...read, sector: 2 ** 50 });
    guest.send('write', write);
    disk.letAll();
    expect(seen).toEqual([`start ${2 ** 50} 238`, `end ${2 ** 50} -1`, 'start 0 9', 'end 0 0']);
  });

  test('is counted', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    const before = vbd.statistics.snapshot();
    guest.send('read', { ...read, sectorCount: 5 });
    guest.send('bad', { ...read, sector: 2 ** 50 });
    disk.letAll();
    const { read: after } = vbd.statistics.snapshot();
    expect(after.requests - before.read.requests).toBe(2);
    expect(after.sectors - before.read.sectors).toBe(6);
    expect(after.errors - before.read.errors).toBe(1);
  });
});

describe('a flush', () => {
  test('syncs, and does not wait for what is not acknowledged', async () => {
    const { disk, guest } = await openWrittenDisk();
    const pending = guest.send('write', write);
    const flushed = guest.send('flush', flush);
    disk.let('sync');
    expect(flushed.status).toBe(STATUS_OKAY);
    expect(pending.status).toBeNull();
    disk.letAll();
  });

  test('that fails is an error', async () => {
    const { disk, guest } = await openWrittenDisk();
    const flushed = guest.send('flush', flush);
    disk.let('sync', EIO);
    expect(flushed).toMatchObject({ status: STATUS_ERROR, errno: EIO });
  });

  test('with data writes it after the sync', async () => {
    const { disk, guest } = await openWrittenDisk();
    const answer = guest.send('flush', { ...write, operation: REQUEST_FLUSH });
    expect(disk.waiting).toEqual(['sync']);
    disk.let('sync');
    expect(disk.waiting).toEqual(['write']);
    expect(answer.status).toBeNull();
    disk.let('write');
    expect(answer.status).toBe(STATUS_OKAY);
    expect(disk.waiting).toEqual([]);
  });

  test('with data that fails does not write', async () => {
    const { disk, guest } = await openWrittenDisk();
    const answer = guest.send('flush', { ...write, operation: REQUEST_FLUSH });
    disk.let('sync', EIO);
    expect(answer.status).toBe(STATUS_ERROR);
    expect(disk.waiting).toEqual([]);
  });

  test.each([
    ['a forced write', { ...write, forceUnitAccess: true }, false],
    ['each write of a write-through disk', write, true],
  ])('follows %s before it is acknowledged', async (_, wanted, writeThrough) => {
    const { disk, vbd, guest } = await openWrittenDisk();
    vbd.writeThrough = writeThrough;
    const answer = guest.send('write', wanted);
    disk.let('write');
    expect(answer.status).toBeNull();
    expect(disk.waiting).toEqual(['sync']);
    disk.let('sync');
    expect(answer.status).toBe(STATUS_OKAY);
    const failing = guest.send('write', wanted);
    disk.let('write');
    disk.let('sync', EIO);
    expect(failing.status).toBe(STATUS_ERROR);
  });

  test('does not follow reads, nor writes that failed', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    vbd.writeThrough = true;
    guest.send('read', read);
    guest.send('write', write);
    disk.let('read');
    disk.let('write', EIO);
    expect(disk.waiting).toEqual([]);
    expect(guest.answered).toEqual(['read', 'write']);
  });
});

describe('a barrier', () => {
  const barrier = { ...write, operation: REQUEST_BARRIER } as const;

  test('waits for all before it, is on disk before and after, and holds all after it', async () => {
    const { disk, guest } = await openWrittenDisk();
    const before = guest.send('before', write);
    const middle = guest.send('barrier', barrier);
    const after = guest.send('after', read);
    expect(disk.waiting).toEqual(['write']);
    disk.let('write');
    expect(before.status).toBe(STATUS_OKAY);
    for (const kind of ['sync', 'write', 'sync'] as const) {
      expect(disk.waiting).toEqual([kind]);
      expect([middle.status, after.status]).toEqual([null, null]);
      disk.let(kind);
    }
    expect(middle.status).toBe(STATUS_OKAY);
    expect(disk.waiting).toEqual(['read']);
    disk.letAll();
    expect(guest.answered).toEqual(['before', 'barrier', 'after']);
  });

  test('without data is a flush with order', async () => {
    const { disk, guest } = await openWrittenDisk();
    guest.send('before', write);
    guest.send('barrier', { operation: REQUEST_BARRIER });
    guest.send('after', read);
    disk.letAll();
    expect(guest.answered).toEqual(['before', 'barrier', 'after']);
    expect(disk.schedule.log).toEqual(['write', 'sync', 'read']);
  });

  test('that fails lets the others go on', async () => {
    const { disk, guest } = await openWrittenDisk();
    const failing = guest.send('barrier', barrier);
    const after = guest.send('after', read);
    disk.let('sync', EIO);
    expect(failing.status).toBe(STATUS_ERROR);
    disk.letAll();
    expect(after.status).toBe(STATUS_OKAY);
  });

  test('that is refused does not end the order of another one', async () => {
    const { disk, guest } = await openWrittenDisk();
    guest.send('barrier', barrier);
    guest.send('refused', { ...barrier, sector: 2 ** 50 });
    guest.send('after', read);
    expect(guest.answered).toEqual(['refused']);
    expect(disk.waiting).toEqual(['sync']);
    disk.letAll();
    expect(guest.answered).toEqual(['refused', 'barrier', 'after']);
  });

  test('behind a barrier waits its turn', async () => {
    const { disk, guest } = await openWrittenDisk();
    for (const name of ['a', 'b', 'c']) guest.submit(name, barrier);
    guest.send('d', read);
    disk.letAll();
    expect(guest.answered).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('pause, resume and close', () => {
  test('a pause waits for what is in flight and holds what comes', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    guest.send('before', write);
    let isPaused = false;
    const pausing = vbd.pause().then(() => (isPaused = true));
    const during = guest.send('during', read);
    await turns(2);
    expect(isPaused).toBe(false);
    disk.letAll();
    await pausing;
    expect([vbd.paused, vbd.inFlight, during.status]).toEqual([true, 0, null]);
    vbd.resume();
    disk.letAll();
    expect(during.status).toBe(STATUS_OKAY);
    expect(guest.answered).toEqual(['before', 'during']);
  });

  test('a pause that waits too long is refused, and the disk goes on', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    guest.send('stuck', write);
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance', 'nextTick'] });
    try {
      const pausing = vbd.pause();
      jest.advanceTimersByTime(DRAIN_TIMEOUT_MS);
      await expect(pausing).rejects.toMatchObject({
        code: 'DRAIN_TIMEOUT',
        transient: true,
        message: expect.stringMatching(/^1 requests are still in flight after 30 s/) as string,
      });
    } finally {
      jest.useRealTimers();
    }
    expect(vbd.paused).toBe(false);
    const after = guest.send('after', read);
    disk.letAll();
    expect(after.status).toBe(STATUS_OKAY);
  });

  test('a close ends a pause, answers everything, flushes and gives the volume back', async () => {
    const { disk, vbd, guest } = await openWrittenDisk();
    await vbd.pause();
    const held = guest.send('held', write);
    const closing = vbd.close();
    disk.let('write');
    expect(held.status).toBe(STATUS_OKAY);
    await turns(1);
    expect(disk.waiting).toEqual(['sync']);
    disk.letAll();
    await closing;
    expect(disk.attachment.isReleased).toBe(true);
    expect(() => guest.submit('late', read)).toThrow('after the close');
  });
});

describe('limits', () => {
  test('the pool hands out REQUESTS_MAX requests, and takes them back', async () => {
    const { vbd } = await openWrittenDisk();
    const taken = Array.from({ length: REQUESTS_MAX }, () => vbd.acquire());
    expect(taken).not.toContain(null);
    expect(vbd.acquire()).toBeNull();
    vbd.release(taken[7]!);
    expect(vbd.acquire()).toBe(taken[7]);
  });

  test.each([
    ['writes', REQUEST_WRITE],
    ['flushes with data', REQUEST_FLUSH],
  ] as const)('%s of 256 runs each share TRANSFERS_MAX transfers, and all end', async (_, op) => {
    const { disk, guest } = await openWrittenDisk();
    const runs = Array.from({ length: 256 }, () => 512);
    const submitted = Math.ceil((3 * TRANSFERS_MAX) / 256);
    const answers = Array.from({ length: submitted }, (__, i) =>
      guest.submit(String(i), { operation: op, sectorCount: 256, runs, sector: 0 }),
    );
    guest.vbd.kick();
    let most = 0;
    while (disk.schedule.waiting.length > 0) {
      most = Math.max(most, disk.schedule.waiting.length);
      disk.let(disk.waiting[0]);
    }
    expect(most).toBeLessThanOrEqual(TRANSFERS_MAX + 1);
    expect(most).toBeGreaterThan(TRANSFERS_MAX / 2);
    expect(answers.every(({ status }) => status === STATUS_OKAY)).toBe(true);
    expect(new Set(guest.answered).size).toBe(submitted);
  });

  test('a request that no limit could hold is refused, and others go on', async () => {
    const store = new MemoryStore(4096);
    const { volume } = await openInstantVolume({ store, sizeBytes: 2 ** 40 });
    const guest = new Guest(new Vbd(volume));
    const sectorCount = ((TRANSFERS_MAX + 1) * 4096) / 512;
    const huge = guest.send('huge', { operation: REQUEST_READ, sectorCount });
    const small = guest.send('small', { ...read });
    expect([huge.status, small.status]).toEqual([STATUS_ERROR, STATUS_OKAY]);
    expect(huge.errno).toBe(EINVAL);
  });

  test.each([
    ['reads of holes', 0],
    ['refused requests', 2 ** 50],
  ])('a source that always has more %s neither nests nor starves the others', async (_, sector) => {
    const store = new MemoryStore(4096);
    const { volume } = await openInstantVolume({ store, sizeBytes: 2 ** 30 });
    const vbd = new Vbd(volume);
    const guest = new Guest(vbd);
    let left = 20_000;
    const again = (): void => {
      if (left-- > 0) guest.send('again', { ...read, sector });
    };
    const source: RequestSource = { requestDone: () => {}, batchDone: again };
    Object.assign(guest, { batchDone: source.batchDone });
    again();
    let turnsTaken = 0;
    await until(() => ++turnsTaken > 0 && left < 0 && vbd.inFlight === 0);
    expect(turnsTaken).toBeGreaterThan(100);
    expect(guest.answered).toHaveLength(20_000);
  });
});

test('two sources hear of their own requests only', async () => {
  const { disk, vbd, guest } = await openWrittenDisk();
  const other = new Guest(vbd);
  guest.submit('mine', read);
  other.submit('theirs', { ...read, sector: 1 });
  vbd.kick();
  disk.letAll();
  expect(guest.log).toEqual(['mine', 'batch']);
  expect(other.log).toEqual(['theirs', 'batch']);
});

test('a read-only disk is refused writes and serves reads and flushes', async () => {
  const store = new MemoryStore(4096);
  const { volume } = await openInstantVolume({ store, sizeBytes: 2 ** 30, readOnly: true });
  const vbd = new Vbd(volume);
  const guest = new Guest(vbd);
  expect(vbd.readOnly).toBe(true);
  const answers = [
    guest.send('write', write),
    guest.send('discard', { operation: REQUEST_DISCARD, sectorCount: 8 }),
    guest.send('read', read),
    guest.send('flush', flush),
  ];
  await until(() => guest.answered.length === 4);
  expect(answers.map(({ status }) => status)).toEqual([-1, -1, 0, 0]);
  await vbd.close();
});
