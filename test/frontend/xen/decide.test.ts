/** Every situation there can be, and where each leads. */
import { decide, type Situation, type Step } from '../../../lib/frontend/xen/decide';
import type { XenbusState } from '../../../lib/xenstore/xenbus-state';

const STATES = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
const RINGS = ['none', 'open', 'broken'] as const;

function situationsOf(backEnd: XenbusState | null, frontEnd: XenbusState): Situation[] {
  const bits = Array.from({ length: 32 }, (_, index) => index);
  return RINGS.flatMap((rings) =>
    bits.map((set) => {
      const [online, hotplugDone, offered, failed, closingOverdue] = [1, 2, 4, 8, 16].map(
        (bit) => (set & bit) !== 0,
      );
      return { backEnd, frontEnd, rings, online, hotplugDone, offered, failed, closingOverdue };
    }),
  );
}

/** What a step leads to, if nobody else does anything. */
function after(now: Situation, step: Step): Situation {
  const to = (backEnd: XenbusState): Situation => ({ ...now, backEnd });
  switch (step) {
    case 'offer':
      return { ...to(2), offered: true };
    case 'connect':
      return { ...to(4), rings: 'open', failed: false };
    case 'adopt':
      return { ...now, rings: 'open' };
    case 'disconnect': {
      const told = now.rings === 'broken' && (now.backEnd === 4 || now.backEnd === 2);
      return { ...(told ? { ...to(5), failed: true } : now), rings: 'none' };
    }
    case 'closing':
      return to(5);
    case 'closed':
      return to(6);
    case 'compare':
    case 'wait':
    case 'leave':
      return now;
  }
}

const all = [null, ...STATES].flatMap((backEnd) =>
  STATES.flatMap((frontEnd) => situationsOf(backEnd, frontEnd)),
);

test('every situation comes to rest within a few steps', () => {
  const restless = all.filter((situation) => {
    let now = situation;
    for (let steps = 0; steps < 6; steps++) {
      const next = after(now, decide(now));
      if (next === now || JSON.stringify(next) === JSON.stringify(now)) return false;
      now = next;
    }
    return true;
  });
  expect(restless).toEqual([]);
});

test('rings are opened only for a front end that says it has some, and never where they failed', () => {
  for (const now of all) {
    const step = decide(now);
    if (step !== 'connect' && step !== 'adopt') continue;
    expect([3, 4, 5]).toContain(now.frontEnd);
    expect(now.rings).toBe('none');
    if (step === 'adopt') expect(now.failed).toBe(false);
    else expect(now).toMatchObject({ backEnd: 2, hotplugDone: true, offered: true });
  }
});

test('no state is written while rings are open, but Closing', () => {
  for (const now of all) {
    if (now.rings === 'none') continue;
    expect(['wait', 'compare', 'disconnect', 'closing']).toContain(decide(now));
  }
});

test('a disk is left only where its directory is gone or the toolstack has taken it away', () => {
  for (const now of all) {
    if (decide(now) !== 'leave') continue;
    expect(now.backEnd === null || !now.online).toBe(true);
    expect(now.rings).toBe('none');
  }
});

test('a disk that is taken away is left, whatever the guest does, once it was told to close', () => {
  for (const situation of all) {
    if (situation.online || situation.backEnd !== 5 || !situation.closingOverdue) continue;
    let now = situation;
    for (let steps = 0; steps < 4; steps++) {
      const open = now.rings === 'open' && [3, 4, 5].includes(now.frontEnd);
      now = after(open ? { ...now, frontEnd: 6 } : now, decide(now));
    }
    expect(decide(now)).toBe('leave');
  }
});
