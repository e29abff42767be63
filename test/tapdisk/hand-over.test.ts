/** The steps of a hand-over, in their order, and what is undone where one fails. */
import { TapdiskError } from '../../lib/errors';
import { handDiskOver, type HandDiskOver } from '../../lib/tapdisk/hand-over';
import { refusal } from '../pool/temporary-pool';

type Step = 'findStandby' | 'flush' | 'pause' | 'giveTo' | 'closeRing';

/** A disk that notes what is done to it, and fails at a step, the `nth` time that it comes. */
function disk(change: Partial<HandDiskOver> & { failAt?: Step; nth?: number } = {}): {
  readonly steps: string[];
  readonly setting: HandDiskOver;
} {
  const { failAt, nth = 1, ...rest } = change;
  const steps: string[] = [];
  let left = nth;
  const step = async (name: Step): Promise<void> => {
    if (name === failAt && --left === 0) throw new TapdiskError('RING_DRAIN_TIMEOUT', 'no');
    steps.push(name);
  };
  const setting: HandDiskOver = {
    volume: 'main/disk1',
    findStandby: async (to) => {
      await step('findStandby');
      return to ?? 'there:7';
    },
    flush: () => step('flush'),
    giveTo: () => step('giveTo'),
    ringSurvivesClose: true,
    wasPaused: false,
    pause: () => step('pause'),
    resume: async () => void steps.push('resume'),
    closeRing: () => step('closeRing'),
    to: undefined,
    ...rest,
  };
  return { steps, setting };
}

test('the ring is let go of when the volume is the other`s, and not before', async () => {
  const { steps, setting } = disk();
  expect((await handDiskOver(setting)).to).toBe('there:7');
  expect(steps).toEqual(['findStandby', 'flush', 'pause', 'flush', 'giveTo', 'closeRing']);
});

test('a ring that would fail its users is closed first', async () => {
  const { steps, setting } = disk({ ringSurvivesClose: false });
  await handDiskOver(setting);
  expect(steps.indexOf('closeRing')).toBeLessThan(steps.indexOf('giveTo'));
  const busy = disk({ ringSurvivesClose: false, failAt: 'closeRing' });
  await expect(handDiskOver(busy.setting)).rejects.toThrow(TapdiskError);
  expect(busy.steps).toEqual(['findStandby', 'flush']);
});

test.each([
  ['findStandby', 1, []],
  ['flush', 1, ['findStandby']],
  ['pause', 1, ['findStandby', 'flush']],
  ['flush', 2, ['findStandby', 'flush', 'pause', 'resume']],
  ['giveTo', 1, ['findStandby', 'flush', 'pause', 'flush', 'resume']],
] as const)('a failure at %s (%i) leaves the disk served', async (failAt, nth, done) => {
  const { steps, setting } = disk({ failAt, nth });
  await expect(handDiskOver(setting)).rejects.toEqual(refusal('RING_DRAIN_TIMEOUT'));
  expect(steps).toEqual(done);
});

test('a disk that was paused stays so where the hand-over fails', async () => {
  const { steps, setting } = disk({ wasPaused: true, failAt: 'giveTo' });
  await expect(handDiskOver(setting)).rejects.toThrow(TapdiskError);
  expect(steps).toEqual(['findStandby', 'flush', 'flush']);
});

test('a flush without end is given up, and the disk served on', async () => {
  let flushes = 0;
  const flush = (): Promise<void> =>
    ++flushes === 1 ? Promise.resolve() : new Promise<void>(() => {});
  const { steps, setting } = disk({ flush, flushTimeoutMs: 20 });
  await expect(handDiskOver(setting)).rejects.toEqual(refusal('HAND_OVER_TIMEOUT', 'main/disk1'));
  expect(steps).toEqual(['findStandby', 'pause', 'resume']);
});
