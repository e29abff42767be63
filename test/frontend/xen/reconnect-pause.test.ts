import { ReconnectPause } from '../../../lib/frontend/xen/reconnect-pause';

test('a guest whose rings break again and again waits ever longer, up to a limit', () => {
  let now = 0;
  const pause = new ReconnectPause(() => now);
  expect(pause.leftMs()).toBeLessThanOrEqual(0);
  const pauses: number[] = [];
  for (let times = 0; times < 9; times++) {
    pause.refused();
    pauses.push(pause.leftMs());
    now += pause.leftMs();
    expect(pause.leftMs()).toBe(0);
  }
  expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 32_000, 32_000]);
  // Long after, it was an accident again.
  now += 120_000;
  pause.refused();
  expect(pause.leftMs()).toBe(500);
});
