/** The back end's side of the handshake, from a toolstack's first node to the last. */
import { TapdiskError } from '../../../lib/errors';
import { BACK, FRONT, ONE_PAGE, until, XenRig } from './xen-rig';

let rig: XenRig;
beforeEach(async () => {
  rig = await XenRig.open();
});
afterEach(() => rig.dispose());

const LEFT_BY_ANOTHER = {
  'feature-large-sector-size': '1',
  'max-ring-pages': '64',
  'multi-queue-max-queues': '64',
  'feature-max-indirect-segments': '4096',
  'discard-secure': '1',
};

describe('connecting', () => {
  test('features are offered before libxl runs its script, and rings opened after it', async () => {
    rig.toolstack();
    const frontend = rig.start();
    await rig.backIs('2');
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.settled();
    expect(rig.read('state')).toBe('2');
    rig.back('hotplug-status', 'connected');
    await rig.backIs('4');
    expect(rig.opened).toHaveLength(1);
    expect(rig.rings.done).toEqual(['start']);
    expect(rig.rings.address).toEqual({
      domid: 5,
      abi: 'x86_64',
      ringOrder: 0,
      queues: [{ ringRefs: [8], eventChannel: 15 }],
      persistent: false,
      takenOver: false,
      journalDirectory: rig.directory,
      journalKey: 'vbd-5-51712',
    });
    expect(frontend).toMatchObject({ kind: 'xen', path: `xen:${BACK}`, stopped: null });
  });

  test('a toolstack without a script has nothing to be waited for', async () => {
    rig.toolstack();
    rig.xenstored.remove(`${BACK}/script`);
    rig.start();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
  });

  test('what a front end reads in each state is there before that state', async () => {
    const missing: string[] = [];
    rig.toolstack();
    rig.start();
    await rig.backIs('2');
    const offered = ['feature-flush-cache', 'feature-discard', 'max-ring-page-order'];
    missing.push(...offered.filter((name) => rig.read(name) === undefined));
    rig.back('hotplug-status', 'connected');
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
    missing.push(
      ...['sectors', 'sector-size', 'info'].filter((name) => rig.read(name) === undefined),
    );
    expect(missing).toEqual([]);
    expect(rig.read('sectors')).toBe(String(rig.disk.sectors));
    expect(rig.read('sector-size')).toBe('512');
    expect(rig.read('info')).toBe('0');
  });

  test('what another back end could do and this one cannot is taken back', async () => {
    rig.toolstack({ ...LEFT_BY_ANOTHER, state: '2' });
    rig.start();
    await until(() => rig.read('feature-large-sector-size') === undefined, 'it is taken back');
    expect(rig.read('max-ring-pages')).toBe('16');
    expect(rig.read('feature-max-indirect-segments')).toBe('256');
    expect(Number(rig.read('multi-queue-max-queues'))).toBeLessThanOrEqual(16);
    expect(rig.read('discard-secure')).toBe('0');
    expect(rig.read('state')).toBe('2');
  });

  test('several queues of several pages, of a 32-bit guest', async () => {
    const nodes: Record<string, string> = {
      protocol: 'x86_32-abi',
      'multi-queue-num-queues': '2',
      'ring-page-order': '1',
    };
    for (const queue of [0, 1]) {
      nodes[`queue-${queue}/ring-ref0`] = String(100 + queue);
      nodes[`queue-${queue}/ring-ref1`] = String(200 + queue);
      nodes[`queue-${queue}/event-channel`] = String(20 + queue);
    }
    await rig.connected(nodes);
    expect(rig.rings.address).toMatchObject({
      abi: 'x86_32',
      ringOrder: 1,
      queues: [
        { ringRefs: [100, 200], eventChannel: 20 },
        { ringRefs: [101, 201], eventChannel: 21 },
      ],
    });
  });

  test('a disk that is paused stays so when a guest connects', async () => {
    rig.toolstack({ 'hotplug-status': 'connected' });
    const frontend = rig.start();
    frontend.pause();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
    expect(rig.rings.done).toEqual(['pause', 'start']);
    frontend.resume();
    expect(rig.rings.done).toEqual(['pause', 'start', 'resume']);
  });

  test.each([
    ['a disk that can be written to', {}, false, '0'],
    ['one that cannot', { mode: 'r' }, true, '4'],
    ['a CD-ROM', { mode: 'r', 'device-type': 'cdrom' }, true, '5'],
    ['a removable disk', { removable: '1' }, false, '2'],
  ])('the info of %s', async (_, nodes, readOnly, info) => {
    await rig.dispose();
    rig = await XenRig.open({ readOnly });
    rig.toolstack({ ...nodes, 'hotplug-status': 'connected' });
    rig.start();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
    expect(rig.read('info')).toBe(info);
  });

  test('a disk whose toolstack wants no discard, and one that cannot be written to, offer none', async () => {
    const keepSpace = { 'discard-enable': '0', 'discard-granularity': '512' };
    rig.toolstack({ ...keepSpace, 'hotplug-status': 'connected' });
    rig.start();
    await rig.backIs('2');
    expect(rig.read('feature-discard')).toBe('0');
    expect(rig.read('discard-granularity')).toBeUndefined();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
    // One who asks all the same is refused by the ring.
    expect(rig.rings.blockDevice.discardGranularityBytes).toBe(0);
    expect(rig.rings.blockDevice.sectors).toBe(rig.disk.sectors);
  });
});

describe('persistent grants', () => {
  test.each([
    ['persistent', '1', '1', true],
    ['persistent', '0', '1', false],
    ['copy', '1', '0', false],
    ['copy', '0', '0', false],
  ] as const)(
    'with grants %s and a front end of feature-persistent %s',
    async (grants, said, offered, persistent) => {
      rig.grants = grants;
      await rig.connected({ ...ONE_PAGE, 'feature-persistent': said });
      expect(rig.read('feature-persistent')).toBe(offered);
      expect(rig.rings.address.persistent).toBe(persistent);
    },
  );

  test('a front end that says nothing of them', async () => {
    rig.grants = 'persistent';
    const silent = Object.entries(ONE_PAGE).filter(([name]) => name !== 'feature-persistent');
    await rig.connected(Object.fromEntries(silent));
    expect(rig.rings.address.persistent).toBe(false);
  });

  test.each([
    ['copy', 'persistent', false],
    ['persistent', 'copy', false],
    ['persistent', 'persistent', true],
  ] as const)(
    'offered by %s and gone on with by %s are kept as both say',
    async (before, after, persistent) => {
      rig.grants = before;
      const first = await rig.connected();
      await rig.end(first);
      rig.grants = after;
      rig.start();
      await until(() => rig.opened.length === 2, 'the rings are opened again');
      expect(rig.rings.address).toMatchObject({ takenOver: true, persistent });
      // … until the front end connects anew, and is told otherwise.
      rig.guest({ state: '6' });
      await rig.backIs('6');
      rig.guest({ state: '1' });
      await rig.backIs('2');
      expect(rig.read('feature-persistent')).toBe(after === 'persistent' ? '1' : '0');
      rig.guest({ state: '3' });
      await rig.backIs('4');
      expect(rig.rings.address.persistent).toBe(after === 'persistent');
    },
  );
});

describe('ends', () => {
  test('a guest that leaves, and comes again with other rings', async () => {
    const frontend = await rig.connected();
    rig.rings.counters.requests = 7;
    rig.guest({ state: '5' });
    await rig.backIs('5');
    // It may still have to write what it has in its cache.
    expect(rig.rings.done).toEqual(['start']);
    rig.guest({ state: '6' });
    await rig.backIs('6');
    expect(rig.rings.done).toEqual(['start', 'close', 'forget']);
    rig.guest({ 'ring-ref': '9', state: '1' });
    await rig.backIs('2');
    rig.guest({ state: '3' });
    await rig.backIs('4');
    expect(rig.opened).toHaveLength(2);
    expect(rig.rings.address).toMatchObject({ queues: [{ ringRefs: [9] }], takenOver: false });
    rig.rings.counters.requests = 3;
    expect(frontend.counters.requests).toBe(10);
    expect(rig.closesAsked).toBe(0);
  });

  test('a guest that starts anew without a word (a crash kernel)', async () => {
    await rig.connected();
    rig.guest({ state: '1' });
    await rig.backIs('2');
    expect(rig.rings.done).toEqual(['start', 'close', 'forget']);
    rig.guest({ 'event-channel': '16', state: '3' });
    await rig.backIs('4');
    expect(rig.rings.address).toMatchObject({ queues: [{ eventChannel: 16 }] });
  });

  test('a guest that resumes with rings made anew, without leaving the old ones', async () => {
    await rig.connected();
    rig.guest({ 'ring-ref': '99', 'event-channel': '98', state: '3' });
    await until(() => rig.opened.length === 2, 'the new rings are opened');
    expect(rig.opened[0].done).toEqual(['start', 'close', 'forget']);
    expect(rig.rings.address).toMatchObject({ queues: [{ ringRefs: [99] }], takenOver: false });
    await rig.settled();
    expect(rig.read('state')).toBe('4');
  });

  test('the toolstack detaches: it hears Closed once the volume was given back, not before', async () => {
    const frontend = await rig.connected();
    rig.back('online', '0');
    rig.back('state', '5');
    await rig.settled();
    expect(rig.rings.done).toEqual(['start']);
    rig.guest({ state: '6' });
    await until(() => rig.closesAsked > 0, 'the process is to end');
    expect(rig.rings.done).toEqual(['start', 'close', 'forget']);
    await frontend.close();
    expect(rig.read('state')).toBe('5');
    await frontend.afterRelease();
    expect(rig.read('state')).toBe('6');
    expect(rig.hostsClosed).toBe(1);
  });

  test('a domain that is destroyed: libxl removes the front end first', async () => {
    await rig.connected();
    rig.xenstored.remove(FRONT);
    rig.back('online', '0');
    rig.back('state', '5');
    await until(() => rig.closesAsked > 0, 'the process is to end');
    expect(rig.rings.done).toEqual(['start', 'close', 'forget']);
  });

  test('the directory is removed: nothing is written there any more', async () => {
    const frontend = await rig.connected();
    rig.xenstored.remove(BACK);
    await until(() => rig.closesAsked > 0, 'the process is to end');
    await frontend.close();
    await frontend.afterRelease();
    expect(rig.rings.done).toEqual(['start', 'close', 'forget']);
    expect(rig.xenstored.list(BACK)).toBeUndefined();
  });

  test('a directory made anew meanwhile is another process`s', async () => {
    const frontend = await rig.connected();
    rig.back('online', '0');
    rig.back('state', '5');
    rig.guest({ state: '6' });
    await until(() => rig.closesAsked > 0, 'the process is to end');
    await frontend.close();
    rig.xenstored.remove(BACK);
    rig.toolstack();
    await frontend.afterRelease();
    expect(rig.read('state')).toBe('1');
  });

  test('a guest that never connects is no reason to stay', async () => {
    rig.toolstack();
    rig.start();
    await rig.backIs('2');
    rig.back('online', '0');
    rig.back('state', '5');
    await until(() => rig.closesAsked > 0, 'the process is to end');
    expect(rig.opened).toEqual([]);
  });

  test('requests that do not end keep the rings: closing is tried again', async () => {
    const frontend = await rig.connected();
    rig.rings.closeError = new TapdiskError('RING_DRAIN_TIMEOUT', '1 requests have not ended');
    rig.guest({ state: '6' });
    await until(() => rig.rings.done.length > 2, 'it is tried again');
    expect(rig.rings.done).not.toContain('forget');
    expect(rig.notes).toContain('1 requests have not ended');
    rig.rings.closeError = null;
    await rig.backIs('6');
    expect(frontend.stopped).toBeNull();
  });
});

describe('a process that comes after another', () => {
  test('goes on with the rings of a connected guest, which sees nothing', async () => {
    const first = await rig.connected();
    await rig.end(first);
    expect(rig.rings.done).toEqual(['start', 'close']);
    expect(rig.read('state')).toBe('4');
    const states: (string | undefined)[] = [];
    rig.start();
    await until(() => {
      states.push(rig.read('state'));
      return rig.opened.length === 2;
    }, 'the rings are opened');
    await rig.settled();
    expect(new Set(states)).toEqual(new Set(['4']));
    expect(rig.rings.address.takenOver).toBe(true);
    expect(rig.read('state')).toBe('4');
  });

  test('waits for rings that the process before it still has', async () => {
    const first = await rig.connected();
    rig.openError = new TapdiskError('XEN_EVENT_CHANNEL_UNBOUND', 'in use', { transient: true });
    rig.start();
    // It never settles: it asks again more often than that takes.
    await until(() => rig.openFailures > 1, 'it has tried again');
    expect(rig.read('state')).toBe('4');
    rig.openError = null;
    await until(() => rig.opened.length === 2, 'the rings are opened');
    await rig.end(first);
    expect(rig.stops).toEqual([]);
  });

  test('lets a guest that is about to close finish what it has to write', async () => {
    const first = await rig.connected();
    await rig.end(first);
    rig.back('state', '5');
    rig.guest({ state: '5' });
    rig.start();
    await until(() => rig.opened.length === 2, 'the rings are opened');
    expect(rig.rings.address.takenOver).toBe(true);
    rig.guest({ state: '6' });
    await rig.backIs('6');
  });

  test('finds a guest that left meanwhile, and one that came again', async () => {
    const first = await rig.connected();
    await rig.end(first);
    rig.guest({ state: '6' });
    const second = rig.start();
    await rig.backIs('6');
    await rig.end(second);
    rig.guest({ state: '1' });
    rig.start();
    await rig.backIs('2');
    expect(rig.opened).toHaveLength(1);
  });

  test('finds that the disk has grown meanwhile', async () => {
    const first = await rig.connected();
    await rig.end(first);
    rig.disk.sectors = 8192;
    rig.start();
    await until(() => rig.read('sectors') === '8192', 'the guest is told');
    expect(rig.read('state')).toBe('4');
  });

  test('finishes a detach that was begun', async () => {
    const first = await rig.connected();
    await rig.end(first);
    rig.back('online', '0');
    rig.back('state', '5');
    rig.guest({ state: '6' });
    const second = rig.start();
    await until(() => rig.closesAsked > 0, 'the process is to end');
    await rig.end(second);
    expect(rig.read('state')).toBe('6');
  });

  test('never goes on with a ring that was stopped', async () => {
    const first = await rig.connected();
    rig.rings.break();
    await rig.backIs('5');
    await rig.end(first);
    rig.start();
    await rig.settled();
    expect(rig.opened).toHaveLength(1);
    rig.guest({ state: '6' });
    await rig.backIs('6');
  });
});

describe('a disk that grows', () => {
  test('a connected guest finds the new size whenever it is told Connected', async () => {
    const frontend = await rig.connected();
    rig.disk.sectors = 5000;
    frontend.resized();
    await until(() => rig.read('sectors') === '5000', 'the size is written');
    expect(rig.read('state')).toBe('4');
  });

  test('one that is not connected finds it when it is', async () => {
    rig.toolstack({ 'hotplug-status': 'connected' });
    const frontend = rig.start();
    await rig.backIs('2');
    rig.disk.sectors = 5000;
    frontend.resized();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('4');
    expect(rig.read('sectors')).toBe('5000');
  });
});

describe('xenstore', () => {
  test('lost and back: the rings are served all the time, and what changed meanwhile is seen', async () => {
    await rig.connected();
    rig.xenstored.dropClients();
    rig.guest({ state: '5' });
    await rig.backIs('5');
    expect(rig.rings.done).toEqual(['start']);
    expect(rig.notes.some((note) => note.includes('xenstore'))).toBe(true);
  });

  test('that refuses: tried again', async () => {
    rig.toolstack();
    rig.xenstored.refuse(`${BACK}/state`, 'EACCES');
    rig.start();
    await until(() => rig.notes.length > 0, 'the refusal is told');
    expect(rig.notes[0]).toContain('EACCES');
    rig.xenstored.refuse(`${BACK}/state`, null);
    await rig.backIs('2');
  });
});
