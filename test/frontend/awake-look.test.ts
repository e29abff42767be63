/** A ring whose server looks awake for the next request: when it does, and what it spares. */
import { askedSpinUs, AwakeLook } from '../../lib/frontend/awake-look';
import { LOOKS_SKIPPED_MAX, SPIN_US_DEFAULT, SPIN_US_MAX } from '../../lib/frontend/limits';
import type { BackRing } from '../../lib/ring';
import { FakeBlockDevice } from './fake-block-device';
import { refusal } from './refusal';
import { RingRig } from './ring-rig';

/** A disk that answers when told to, and a ring whose server looks, or does not. */
function rigOf(spinUs: number): { disk: FakeBlockDevice; rig: RingRig } {
  const disk = new FakeBlockDevice({ manual: true });
  return { disk, rig: new RingRig(disk, undefined, undefined, undefined, spinUs) };
}

/** What a guest does that asks again as soon as it is answered; true where it is to ring. */
function askOnKick(rig: RingRig, id: number): { mustRing: boolean | null } {
  const asked: { mustRing: boolean | null } = { mustRing: null };
  rig.onKick = () => {
    rig.onKick = () => undefined;
    rig.put(id);
    asked.mustRing = rig.front.push();
  };
  return asked;
}

test('a request that follows its answer at once is taken without a doorbell', () => {
  const { disk, rig } = rigOf(SPIN_US_MAX);
  rig.put(0);
  rig.go();
  const asked = askOnKick(rig, 1);
  disk.completeAll();
  expect(asked.mustRing).toBe(false);
  expect(disk.waiting).toHaveLength(1);
  disk.completeAll();
  expect(rig.answers().map(({ id }) => id)).toEqual([0, 1]);
  expect(rig.counters.wakeups).toBe(1);
});

test('without a look the doorbell is asked for all the time', () => {
  const { disk, rig } = rigOf(0);
  rig.put(0);
  rig.go();
  const asked = askOnKick(rig, 1);
  disk.completeAll();
  expect(asked.mustRing).toBe(true);
});

test('while other requests are under way nobody looks', () => {
  const { disk, rig } = rigOf(SPIN_US_MAX);
  rig.put(0);
  rig.put(1);
  rig.go();
  const asked = askOnKick(rig, 2);
  disk.complete(disk.waiting[0]);
  expect(asked.mustRing).toBe(true);
});

test('after a look in vain the doorbell is asked for, and the next answer goes without a look', () => {
  const { disk, rig } = rigOf(1);
  rig.put(0);
  rig.go();
  disk.completeAll();
  expect(rig.answers()).toHaveLength(1);
  // It goes to sleep, and wants to be told of the next answer.
  expect(rig.front.finalCheck()).toBe(false);
  rig.put(1);
  expect(rig.front.push()).toBe(true);
  rig.server.wake();
  const asked = askOnKick(rig, 2);
  disk.completeAll();
  expect(asked.mustRing).toBe(true);
});

test('a paused ring is not looked at', () => {
  const { disk, rig } = rigOf(SPIN_US_MAX);
  rig.put(0);
  rig.go();
  rig.server.pause();
  const asked = askOnKick(rig, 1);
  disk.completeAll();
  expect(asked.mustRing).toBe(true);
  expect(disk.waiting).toHaveLength(0);
});

describe('looks in vain', () => {
  const silent = { unconsumed: () => 0 } as BackRing;
  const quick = { unconsumed: () => 1 } as BackRing;

  /** Answers until one that is looked after, that one not counted. */
  function skipped(look: AwakeLook): number {
    let answers = 0;
    while (!look.isDue()) answers++;
    return answers;
  }

  test('make the next ones rarer, up to a limit, until one is not in vain', () => {
    const look = new AwakeLook(1);
    const seen: number[] = [];
    for (let round = 0; round < 11; round++) {
      seen.push(skipped(look));
      look.look(silent);
    }
    expect(seen).toEqual([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, LOOKS_SKIPPED_MAX]);
    look.look(quick);
    expect(skipped(look)).toBe(0);
  });

  test('of no time are never due', () => {
    expect(new AwakeLook(0).isDue()).toBe(false);
  });
});

describe('TAPDISK_TS_SPIN_US', () => {
  afterEach(() => delete process.env.TAPDISK_TS_SPIN_US);

  test('says how long, and has a default', () => {
    expect(askedSpinUs()).toBe(SPIN_US_DEFAULT);
    process.env.TAPDISK_TS_SPIN_US = '0';
    expect(askedSpinUs()).toBe(0);
  });

  test.each(['-1', '1.5', '1001', 'x'])('%s is refused', (text) => {
    process.env.TAPDISK_TS_SPIN_US = text;
    expect(refusal(askedSpinUs)).toMatchObject({
      code: 'SPIN_INVALID',
      message: `TAPDISK_TS_SPIN_US is '${text}'; set it to microseconds from 0 (never look) to 1000`,
    });
  });
});
