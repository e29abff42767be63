/** Gaps between answers: what a guest had to wait, and no more than that. */
import { AnswerGaps } from './answer-gaps';
import { ms, quantile } from './quantile';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function passes(timeMs: number): void {
  jest.advanceTimersByTime(timeMs);
}

test('a window tells the longest gap between the answers in it', () => {
  const gaps = new AnswerGaps();
  const window = gaps.open();
  for (const timeMs of [10, 70, 30]) {
    passes(timeMs);
    gaps.answered();
  }
  expect(window.close()).toBe(70);
  passes(500);
  gaps.answered();
  expect(window.longestMs).toBe(70);
});

test('time in which nothing was asked for is no gap', () => {
  const gaps = new AnswerGaps();
  const window = gaps.open();
  passes(1_000);
  gaps.beganToWait();
  passes(20);
  gaps.answered();
  expect(window.close()).toBe(20);
});

test('quantiles are of the nearest rank', () => {
  const values = [5, 1, 4, 2, 3];
  expect([0.5, 0.99, 1].map((fraction) => quantile(values, fraction))).toEqual([3, 5, 5]);
  expect([1.25, 12.5, 1250].map(ms)).toEqual(['1.3 ms', '13 ms', '1.25 s']);
});
