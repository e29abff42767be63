/** A guest that writes what it likes, and rings that it breaks: its own disk alone is stopped, by name. */
import fc from 'fast-check';
import type { TapdiskError } from '../../../lib/errors';
import { readFrontEndRings } from '../../../lib/frontend/xen/front-end-nodes';
import { refusal } from '../refusal';
import { BACK, FRONT, ONE_PAGE, until, XenRig } from './xen-rig';

let rig: XenRig;
beforeEach(async () => {
  rig = await XenRig.open();
});
afterEach(() => rig.dispose());

const FOUR_PAGES = {
  ...ONE_PAGE,
  'ring-page-order': '2',
  'ring-ref0': '1',
  'ring-ref1': '2',
  'ring-ref2': '3',
  'ring-ref3': '4',
};

async function refused(nodes: Readonly<Record<string, string>>): Promise<TapdiskError> {
  rig.toolstack({ 'hotplug-status': 'connected' });
  const frontend = rig.start();
  await rig.backIs('2');
  rig.guest({ ...nodes, state: '3' });
  await rig.backIs('5');
  expect(rig.opened).toEqual([]);
  expect(rig.read('error')).toBe(frontend.stopped?.message);
  return rig.stops[0];
}

describe('what a guest says of its rings', () => {
  test.each([
    ['no ring', { 'event-channel': '15' }, 'ring-ref0 is missing'],
    ['no event channel', { 'ring-ref': '8' }, 'event-channel is missing'],
    ['an event channel beyond all', { ...ONE_PAGE, 'event-channel': '131072' }, '"131072"'],
    ['an event channel of 0', { ...ONE_PAGE, 'event-channel': '0' }, 'from 1'],
    ['a reference beyond 32 bits', { ...ONE_PAGE, 'ring-ref': '4294967296' }, '4294967295'],
    ['a reference below 0', { ...ONE_PAGE, 'ring-ref': '-1' }, '"-1"'],
    ['hexadecimal', { ...ONE_PAGE, 'ring-ref': '0x8' }, '"0x8"'],
    ['nothing', { ...ONE_PAGE, 'ring-ref': '' }, 'is ""'],
    ['blanks', { ...ONE_PAGE, 'ring-ref': ' 8' }, '" 8"'],
    ['another ABI', { ...ONE_PAGE, protocol: 'arm-abi' }, 'x86_64-abi or x86_32-abi'],
    ['more pages than offered', { ...ONE_PAGE, 'ring-page-order': '5' }, 'from 0 to 4'],
    ['pages of no power of two', { ...ONE_PAGE, 'num-ring-pages': '3' }, 'a power of two'],
    ['one page too few', { ...FOUR_PAGES, 'ring-ref3': 'x' }, 'ring-ref3 is "x"'],
    ['more queues than offered', { ...ONE_PAGE, 'multi-queue-num-queues': '4294967295' }, 'from 1'],
    ['no queue', { ...ONE_PAGE, 'multi-queue-num-queues': '0' }, 'from 1'],
    [
      'queues that are not there',
      { ...ONE_PAGE, 'multi-queue-num-queues': '2' },
      'queue-0/ring-ref0',
    ],
    ['persistence of 2', { ...ONE_PAGE, 'feature-persistent': '2' }, 'from 0 to 1'],
  ])('%s', async (_, nodes: Readonly<Record<string, string>>, words) => {
    const reason = await refused(nodes);
    expect(reason.code).toBe('XEN_FRONT_END_INVALID');
    expect(reason.message).toContain(words);
    expect(reason.message).toContain(FRONT);
  });

  test('of what is long or unprintable, a sentence shows the beginning, escaped', async () => {
    const reason = await refused({ ...ONE_PAGE, 'ring-ref': `\u001b[2J${'9'.repeat(3000)}` });
    expect(reason.message).not.toContain('\u001b');
    expect(reason.message.length).toBeLessThan(250);
  });

  test('four pages, a ring of the older spelling, and no protocol at all', async () => {
    const silent = Object.entries(FOUR_PAGES).filter(([name]) => name !== 'protocol');
    await rig.connected(Object.fromEntries(silent));
    expect(rig.rings.address).toMatchObject({ abi: 'x86_64', ringOrder: 2 });
    rig.guest({ state: '6' });
    await rig.backIs('6');
    rig.xenstored.remove(`${FRONT}/ring-page-order`);
    rig.guest({ 'num-ring-pages': '2', state: '1' });
    await rig.backIs('2');
    rig.guest({ state: '3' });
    await rig.backIs('4');
    expect(rig.rings.address).toMatchObject({ ringOrder: 1, queues: [{ ringRefs: [1, 2] }] });
  });

  test('anything at all is either taken within what was offered, or refused by name', async () => {
    const offered = { ringPageOrderMax: 4, queuesMax: 4, persistent: true };
    const names = Object.keys(FOUR_PAGES).concat('multi-queue-num-queues', 'num-ring-pages');
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer({ min: -2, max: 20 }).map(String),
      fc.double().map(String),
      fc.bigInt().map(String),
    );
    const nodes = fc.dictionary(fc.constantFrom(...names), value);
    await fc.assert(
      fc.asyncProperty(nodes, async (written) => {
        const all: Record<string, string> = { ...FOUR_PAGES, ...written };
        const read = async (path: string): Promise<string | undefined> =>
          all[path.slice('front/'.length)];
        const taken = await readFrontEndRings({ read }, 'front', offered).catch(
          (error: TapdiskError) => expect(error.code).toBe('XEN_FRONT_END_INVALID'),
        );
        if (!taken) return;
        expect(taken.queues.length).toBeLessThanOrEqual(4);
        for (const { ringRefs, eventChannel } of taken.queues) {
          expect(ringRefs).toHaveLength(2 ** taken.ringOrder);
          for (const number of [...ringRefs, eventChannel]) {
            expect(Number.isInteger(number) && number >= 0 && number < 2 ** 32).toBe(true);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('what a toolstack, or somebody in its place, says', () => {
  test.each([
    ['a front end of another guest', { frontend: '/local/domain/55/device/vbd/51712' }],
    ['one that leads out of the guest`s home', { frontend: '/local/domain/5' }],
    ['no front end', { frontend: '' }],
    ['another guest', { 'frontend-id': '55' }],
    ['a disk that the guest must not write to, and this process could', { mode: 'r' }],
  ])('%s', async (_, nodes: Readonly<Record<string, string>>) => {
    rig.toolstack(nodes);
    rig.start();
    await until(() => rig.stops.length > 0, 'it is refused');
    expect(rig.stops[0].code).toBe('XEN_BACK_END_INVALID');
    expect(rig.stops[0].message).toContain(BACK);
    // libxl looks there; and nothing of this is said again and again.
    await rig.settled();
    expect(rig.read('hotplug-error')).toBe(rig.stops[0].message);
    expect(rig.stops).toHaveLength(1);
    expect(rig.read('state')).toBe('1');
  });

  test('a process is started for one guest and served to no other', () => {
    const start = (domid: number, path: string): string =>
      refusal(() => rig.start(domid, path)).code;
    expect(start(6, BACK)).toBe('XEN_DOMID_MISMATCH');
    const paths = ['backend/vif/5/0', 'backend/vbd/5', '../vbd/5/1', 'backend/vbd/99999/1', ''];
    for (const path of [...paths, `${BACK}/x`, 'backend/vbd/5/99999999999']) {
      expect(start(5, path)).toBe('XEN_PATH_INVALID');
    }
  });
});

describe('a ring that is stopped', () => {
  test('is let go of, told, and the guest may connect again', async () => {
    const frontend = await rig.connected();
    rig.rings.break();
    expect(frontend.stopped?.code).toBe('RING_PRODUCER_OVERFLOW');
    await rig.backIs('5');
    expect(rig.read('error')).toBe('producer overflow: the ring is stopped');
    await until(() => rig.rings.done.includes('forget'), 'it is let go of');
    rig.guest({ state: '6' });
    await rig.backIs('6');
    rig.guest({ state: '1' });
    await rig.backIs('2');
    expect(frontend.stopped?.code).toBe('RING_PRODUCER_OVERFLOW');
    rig.guest({ state: '3' });
    await rig.backIs('4');
    expect(frontend.stopped).toBeNull();
    expect(rig.read('error')).toBeUndefined();
    expect(rig.stops).toHaveLength(1);
  });

  test('rings that cannot be opened', async () => {
    rig.openError = new Error('ioctl: ENOMEM');
    rig.toolstack({ 'hotplug-status': 'connected' });
    rig.start();
    rig.guest({ ...ONE_PAGE, state: '3' });
    await rig.backIs('5');
    expect(rig.stops).toMatchObject([{ code: 'XEN_RING_REFUSED' }]);
    expect(rig.read('error')).toContain('ENOMEM');
  });
});

test('a storm of states costs a look now and then, and ends where the last one leads', async () => {
  await rig.connected();
  const seed = 20_261_122;
  const states = fc.sample(fc.constantFrom('0', '1', '2', '3', '4', '5', '6', '7', 'x', ''), {
    numRuns: 2000,
    seed,
  });
  for (const [index, state] of states.entries()) {
    rig.guest({ state });
    if (index % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  rig.guest({ state: '6' });
  await until(() => ['2', '6'].includes(rig.read('state') ?? ''), `it is closed (seed ${seed})`);
  await rig.settled();
  for (const rings of rig.opened) expect(rings.done.at(-1)).toBe('forget');
});
