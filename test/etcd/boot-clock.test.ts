/** The real clock agrees with the kernel, and its timers are never early. */
import { readFileSync } from 'node:fs';
import { BootClock } from '../../lib/etcd/boot-clock';
import { openBootTime } from '../../native-bindings/boot-time';

const loadWithoutAddon = (): (() => number) => {
  process.env.TAPDISK_TS_NO_ADDON = '1';
  try {
    let opened!: () => number;
    jest.isolateModules(() => {
      const module = jest.requireActual<{ openBootTime: typeof openBootTime }>(
        '../../native-bindings/boot-time',
      );
      opened = module.openBootTime();
    });
    return opened;
  } finally {
    delete process.env.TAPDISK_TS_NO_ADDON;
  }
};

const uptimeMs = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1_000;

describe.each([
  ['as this machine reads it', openBootTime],
  ['through the C library', loadWithoutAddon],
])('the time since the start, %s', (_name, open) => {
  test('is the kernel’s, and does not go back', () => {
    const read = open();
    const before = uptimeMs();
    const readings = Array.from({ length: 100 }, read);
    // The kernel's file has hundredths of a second, cut off.
    expect(readings[0]).toBeGreaterThanOrEqual(before);
    expect(readings[99]).toBeLessThan(uptimeMs() + 10);
    expect([...readings].sort((a, b) => a - b)).toEqual(readings);
  });
});

describe('a timer', () => {
  let nowMs: number;
  const clock = new BootClock(() => nowMs);
  beforeEach(() => {
    nowMs = 1_000;
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('waits for the clock, not for Node', () => {
    let called = 0;
    clock.setTimer(100, () => called++);
    nowMs += 99.5;
    jest.advanceTimersByTime(100);
    expect(called).toBe(0);
    nowMs += 0.5;
    jest.advanceTimersByTime(1);
    expect(called).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('notices within seconds that the machine slept', () => {
    let called = 0;
    clock.setTimer(3_600_000, () => called++);
    nowMs += 7_200_000;
    jest.advanceTimersByTime(10_000);
    expect(called).toBe(1);
  });

  test('may be as far away as one likes', () => {
    const month = 31 * 24 * 3_600_000;
    let called = 0;
    clock.setTimer(month, () => called++);
    jest.advanceTimersByTime(60_000);
    expect(called).toBe(0);
    nowMs += month;
    jest.advanceTimersByTime(10_000);
    expect(called).toBe(1);
  });

  test('that is cancelled does nothing', () => {
    const timer = clock.setTimer(10, () => fail('called'));
    timer.cancel();
    nowMs += 20;
    jest.advanceTimersByTime(20);
    timer.cancel();
    expect(jest.getTimerCount()).toBe(0);
  });
});
