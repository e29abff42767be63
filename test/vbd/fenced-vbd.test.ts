/** A VBD whose volume others can take: no answer and no start without the right to it. */
import { MemoryStore } from '../../lib/store/memory-store';
import type { FenceObserver } from '../../lib/vbd/fence-watch';
import { DRAIN_TIMEOUT_MS, FENCE_LOOK_MS } from '../../lib/vbd/limits';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  STATUS_ERROR,
  STATUS_OKAY,
} from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { LAST_FLUSH_WAIT_MS } from '../../lib/volume/limits';
import { FakeFence } from '../fake-fence';
import { CHUNK_BYTES } from '../volume/volume-on-doubles';
import { type Answer, turns, type Wanted } from './guest';
import { openInstantVolume } from './instant-volume';
import { CHUNK_SECTORS, openWrittenDisk, type WrittenDisk } from './written-disk';

const EIO = 5;
interface Opened extends WrittenDisk {
  readonly fence: FakeFence;
}

async function open(): Promise<Opened> {
  const fence = new FakeFence();
  const written = await openWrittenDisk({ fence });
  opened.push(written.vbd);
  return { fence, ...written };
}

const opened: Vbd[] = [];
afterEach(() => {
  for (const vbd of opened.splice(0)) vbd.fence?.close();
});

const read = { operation: REQUEST_READ, sectorCount: 1 } as const;
const write = { operation: REQUEST_WRITE, sectorCount: 1, value: 9 } as const;

describe('while the fence is closed', () => {
  test('what was carried out is not answered, and is when it opens, in its order', async () => {
    const { fence, disk, guest } = await open();
    guest.send('a', write);
    guest.send('b', read);
    fence.close();
    disk.letAll();
    expect(guest.log).toEqual([]);
    fence.open();
    expect(guest.log).toEqual(['a', 'b', 'batch']);
  });

  test('nothing new reaches the store', async () => {
    const { fence, disk, vbd, guest } = await open();
    guest.send('a', write);
    fence.close();
    disk.letAll();
    guest.send('b', write);
    guest.send('c', { operation: REQUEST_FLUSH });
    guest.send('d', { operation: REQUEST_BARRIER });
    guest.send('e', read);
    expect(disk.waiting).toEqual([]);
    expect(vbd.fence?.statistics()).toMatchObject({ state: 'waiting', stalls: 1 });
    fence.open();
    disk.letAll();
    expect(guest.answered.slice(-2)).toEqual(['d', 'e']);
    expect(guest.answered.sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('a read of what nobody wrote, and a refusal, wait like the others', async () => {
    const { fence, vbd, guest } = await open();
    fence.close();
    guest.send('zeros', { ...read, sector: 9 * CHUNK_SECTORS });
    guest.send('refused', { ...read, sector: vbd.sectors });
    expect(guest.log).toEqual([]);
    fence.open();
    expect(guest.answered.sort()).toEqual(['refused', 'zeros']);
  });

  test('the fence is asked once for a batch of answers', async () => {
    const { fence, vbd, guest } = await open();
    for (let i = 0; i < 10; i++) guest.submit(`${i}`, { ...read, sector: 9 * CHUNK_SECTORS });
    const before = fence.asked;
    vbd.kick();
    expect(guest.answered.length).toBe(10);
    expect(fence.asked - before).toBe(1);
  });

  test('a pause has its deadline, says why, and is taken back', async () => {
    const { fence, disk, vbd, guest } = await open();
    jest.useFakeTimers();
    try {
      guest.send('a', write);
      fence.close();
      disk.letAll();
      const refused = expect(vbd.pause()).rejects.toMatchObject({
        code: 'DRAIN_TIMEOUT',
        message: expect.stringContaining('not confirmed') as string,
      });
      await jest.advanceTimersByTimeAsync(DRAIN_TIMEOUT_MS);
      await refused;
      expect(vbd.paused).toBe(false);
    } finally {
      jest.useRealTimers();
    }
    fence.open();
    expect(guest.answered).toEqual(['a']);
  });

  test('a close has its deadline, says why, and can be repeated', async () => {
    const { fence, disk, vbd } = await open();
    fence.close();
    jest.useFakeTimers();
    try {
      const refused = expect(vbd.close()).rejects.toMatchObject({ code: 'VOLUME_STALLED' });
      await jest.advanceTimersByTimeAsync(LAST_FLUSH_WAIT_MS);
      await refused;
    } finally {
      jest.useRealTimers();
    }
    expect(disk.attachment.isReleased).toBe(false);
    fence.open();
    const closing = vbd.close();
    await turns(2);
    disk.letAll();
    await closing;
    expect(disk.attachment.isReleased).toBe(true);
    expect(fence.listening).toBe(0);
  });
});

describe('when the volume is lost', () => {
  test('what was carried out, what waits and what comes all fail, at once', async () => {
    const { fence, disk, guest } = await open();
    const done = guest.send('done', write);
    fence.close();
    disk.letAll();
    const held = guest.send('held', write);
    const barrier = guest.send('barrier', { operation: REQUEST_BARRIER });
    const flush = guest.send('flush', { operation: REQUEST_FLUSH });
    fence.lose();
    const later = guest.send('later', read);
    for (const answer of [done, held, barrier, flush, later]) {
      expect(answer).toMatchObject({ status: STATUS_ERROR, errno: EIO });
    }
    expect(disk.waiting).toEqual([]);
  });

  test('what the store has ends with the store, and fails', async () => {
    const { fence, disk, guest } = await open();
    const started = guest.send('started', write);
    fence.lose();
    expect(started.status).toBeNull();
    disk.letAll();
    expect(started).toMatchObject({ status: STATUS_ERROR, errno: EIO });
  });

  test('a first write in any of its steps fails, and the close does not wait', async () => {
    for (let steps = 0; steps < 5; steps++) {
      const { fence, disk, vbd, guest } = await open();
      const first = guest.send('first', { ...write, sector: 9 * CHUNK_SECTORS });
      const parked = guest.send('parked', { ...write, sector: 9 * CHUNK_SECTORS + 1 });
      for (let i = 0; i < steps && disk.waiting.length > 0; i++) disk.let(disk.waiting[0]);
      const isDone = first.status !== null;
      fence.lose();
      while (disk.waiting.length > 0) {
        // The map's own comparison fails as well.
        const [kind] = disk.waiting;
        disk.let(kind, kind === 'commit' ? EIO : 0);
        await turns(2);
      }
      await turns(2);
      if (!isDone) expect(first.errno).toBe(EIO);
      if (parked.status !== STATUS_OKAY) expect(parked.errno).toBe(EIO);
      await vbd.close();
      expect(disk.attachment.isReleased).toBe(true);
    }
  });

  test('a close flushes nothing', async () => {
    const { fence, disk, vbd } = await open();
    fence.lose();
    await vbd.close();
    expect(disk.schedule.log).toEqual([]);
    expect(disk.attachment.isReleased).toBe(true);
  });

  test('a pause that waits ends', async () => {
    const { fence, disk, vbd, guest } = await open();
    guest.send('a', write);
    fence.close();
    disk.letAll();
    const paused = vbd.pause();
    guest.send('b', write);
    fence.lose();
    await paused;
    expect(guest.answered).toEqual(['a', 'b']);
  });
});

/** What is told of the right, in words. */
function observed(vbd: Vbd): string[] {
  const log: string[] = [];
  const observer: FenceObserver = {
    stalled: () => log.push('stalled'),
    resumed: (stalledMs) => log.push(`resumed ${stalledMs >= 0}`),
    lost: () => log.push('lost'),
  };
  vbd.fence!.observer = observer;
  return log;
}

/** Giving back takes calls of etcd, and the fence says meanwhile that the volume is another's. */
describe('the right that is given back or away is not lost', () => {
  beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate'] }));
  afterEach(() => jest.useRealTimers());

  const aWhile = (): Promise<void> => jest.advanceTimersByTimeAsync(4 * FENCE_LOOK_MS);

  test('by a close: nobody is told, and the closed store is not kicked', async () => {
    const { fence, disk, vbd } = await open();
    const log = observed(vbd);
    const release = jest.spyOn(disk.attachment, 'release').mockImplementation(async () => {
      fence.end();
      await aWhile();
    });
    const closing = vbd.close();
    await turns(2);
    disk.letAll();
    await closing;
    expect(release).toHaveBeenCalled();
    expect(log).toEqual([]);
  });

  test('by a hand-over: what is held neither fails nor starts, and nobody is told', async () => {
    const { fence, disk, vbd, guest } = await open();
    const log = observed(vbd);
    await vbd.pause();
    const held = guest.send('held', write);
    jest.spyOn(disk.attachment, 'handOver').mockImplementation(async () => {
      fence.end();
      await aWhile();
      // Somebody's kick, while it is under way.
      vbd.kick();
    });
    const handing = vbd.handOver('there');
    await turns(2);
    disk.letAll();
    await handing;
    await aWhile();
    expect(held.status).toBeNull();
    // The source has hung up by then.
    await vbd.close();
    expect(held).toMatchObject({ status: STATUS_ERROR, errno: EIO });
    expect(guest.log.slice(-2)).toEqual(['held', 'batch']);
    expect(log).toEqual([]);
    expect(fence.listening).toBe(0);
  });

  test('but is lost where the hand-over fails for that', async () => {
    const { fence, disk, vbd, guest } = await open();
    const log = observed(vbd);
    await vbd.pause();
    const held = guest.send('held', write);
    jest.spyOn(disk.attachment, 'handOver').mockImplementation(async () => {
      fence.lose();
      await aWhile();
      throw new Error('lost');
    });
    const handing = expect(vbd.handOver('there')).rejects.toThrow('lost');
    await turns(2);
    disk.letAll();
    await handing;
    expect(log).toEqual(['lost']);
    expect(held).toMatchObject({ status: STATUS_ERROR, errno: EIO });
  });

  test('and a hand-over that fails leaves a fence that is looked at', async () => {
    const { fence, disk, vbd } = await open();
    const log = observed(vbd);
    await vbd.pause();
    jest.spyOn(disk.attachment, 'handOver').mockRejectedValue(new Error('no standby'));
    const handing = expect(vbd.handOver('there')).rejects.toThrow('no standby');
    await turns(2);
    disk.letAll();
    await handing;
    fence.close();
    await aWhile();
    expect(log).toEqual(['stalled']);
  });
});

describe('stalls', () => {
  test('are found by time, without any request, and end without a word of the fence', async () => {
    jest.useFakeTimers();
    try {
      const { fence, vbd, guest, disk } = await open();
      const log = observed(vbd);
      fence.close();
      await jest.advanceTimersByTimeAsync(2 * FENCE_LOOK_MS);
      expect(log).toEqual(['stalled']);
      guest.send('a', write);
      fence.open(true);
      await jest.advanceTimersByTimeAsync(2 * FENCE_LOOK_MS);
      expect(log).toEqual(['stalled', 'resumed true']);
      disk.letAll();
      expect(guest.answered).toEqual(['a']);
      const statistics = vbd.fence!.statistics();
      expect(statistics).toMatchObject({ state: 'open', stalls: 1 });
      expect(statistics.longestStallMs).toBeGreaterThanOrEqual(FENCE_LOOK_MS / 2);
      expect(statistics.stalledMs).toBe(statistics.longestStallMs);
    } finally {
      jest.useRealTimers();
    }
  });

  test('may end with the loss, which is told once', async () => {
    const { fence, vbd, guest } = await open();
    const log = observed(vbd);
    fence.close();
    guest.send('a', { ...read, sector: 9 * CHUNK_SECTORS });
    fence.lose();
    guest.send('b', read);
    fence.lose();
    expect(log).toEqual(['stalled', 'lost']);
    expect(vbd.fence!.statistics()).toMatchObject({ state: 'lost', stalls: 1 });
  });
});

/**
 * SIGSTOP for longer than a lease, at every point there is: the fence closes without a word, what
 * the store has goes on ending, and from then on nothing may reach the store and no answer leave.
 */
describe('closed at any point', () => {
  const SCRIPT: readonly (readonly [string, Wanted])[] = [
    ['write', { ...write, sector: 1 }],
    ['first', { ...write, sector: 8 * CHUNK_SECTORS }],
    ['second', { ...write, sector: 8 * CHUNK_SECTORS + 1, value: 8 }],
    ['read', { ...read, sector: CHUNK_SECTORS }],
    ['zeros', { ...read, sector: 12 * CHUNK_SECTORS }],
    ['flush', { operation: REQUEST_FLUSH }],
    ['fua', { ...write, sector: 3, forceUnitAccess: true }],
    [
      'discard',
      { operation: REQUEST_DISCARD, sector: 2 * CHUNK_SECTORS, sectorCount: CHUNK_SECTORS },
    ],
    ['barrier', { ...write, operation: REQUEST_BARRIER, sector: 5 }],
    ['last', { ...write, sector: 6 }],
  ];

  /** Returns false where the script ended before that point. */
  async function run(closeAt: number, end: 'open' | 'lose'): Promise<boolean> {
    const { fence, disk, vbd, guest } = await open();
    let point = 0;
    let atClose = { handedOver: 0, answered: 0 };
    let isClosed = false;
    const mayClose = (): void => {
      if (isClosed || point++ !== closeAt) return;
      isClosed = true;
      fence.close();
      atClose = { handedOver: disk.store.handedOver, answered: guest.answered.length };
    };
    fence.onAsked = mayClose;
    const answers: Answer[] = [];
    const letAll = async (): Promise<void> => {
      for (let quiet = 0; quiet < 3; quiet++) {
        while (disk.waiting.length > 0) {
          mayClose();
          disk.let(disk.waiting[0]);
          mayClose();
          quiet = 0;
        }
        await turns(1);
      }
    };
    for (const [name, wanted] of SCRIPT) {
      answers.push(guest.submit(name, wanted));
      mayClose();
      if (name === 'write') continue;
      vbd.kick();
      mayClose();
      if (name === 'flush') await letAll();
    }
    await letAll();
    if (!isClosed) return false;
    expect(disk.store.handedOver).toBe(atClose.handedOver);
    expect(guest.answered.length).toBe(atClose.answered);
    if (end === 'lose') {
      fence.lose();
      await letAll();
      expect(disk.store.handedOver).toBe(atClose.handedOver);
      expect(answers.filter(({ status }) => status === STATUS_OKAY).length).toBe(atClose.answered);
      expect(answers.filter(({ errno }) => errno === EIO).length).toBe(
        SCRIPT.length - atClose.answered,
      );
    } else {
      fence.open();
      await letAll();
      expect(answers.map(({ status }) => status)).toEqual(SCRIPT.map(() => STATUS_OKAY));
      expect(guest.answered.slice().sort()).toEqual(SCRIPT.map(([name]) => name).sort());
      expect(disk.valueAt(0, 1)).toBe(0x09090909);
      expect(disk.valueAt(8, 0)).toBe(0x09090909);
      expect(disk.valueAt(8, 1)).toBe(0x08080808);
      expect(disk.valueAt(0, 6)).toBe(0x09090909);
    }
    return true;
  }

  test.each(['open', 'lose'] as const)('and then: %s', async (end) => {
    let points = 0;
    while (await run(points, end)) points++;
    expect(points).toBeGreaterThan(40);
  });
});

test('without a fence nothing is watched', async () => {
  const { volume } = await openInstantVolume({
    store: new MemoryStore(CHUNK_BYTES),
    sizeBytes: 4 * CHUNK_BYTES,
  });
  expect(new Vbd(volume).fence).toBeNull();
});
