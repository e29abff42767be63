/** A watch whose poll the kernel ends or refuses. */
import { closeSync } from 'node:fs';
import { UringRing } from '../../native-bindings/uring-ring';
import { FIRST_WATCH, UringSubmission } from '../../native-bindings/uring-submission';
import { UringWatches } from '../../native-bindings/uring-watches';
import { requireAddon } from './require-addon';

const ENOMEM = -12;
const POLLED = 1;
const TERMINAL = 0;

const native = requireAddon();
let ring: UringRing;
let submission: UringSubmission;
let watches: UringWatches;
let retries: number;
let told: number;
const eventfds: number[] = [];

beforeEach(() => {
  const opened = UringRing.open(native);
  if (typeof opened === 'string') throw new Error(opened);
  ring = opened;
  submission = new UringSubmission(ring);
  [retries, told] = [0, 0];
  watches = new UringWatches({
    native,
    submission,
    handOver: () => watches.fill(),
    offerAgainSoon: () => retries++,
    keepAliveChanged: () => undefined,
  });
});

afterEach(() => {
  ring.close();
  eventfds.splice(0).forEach((fd) => closeSync(fd));
});

function addWatch(): ReturnType<UringWatches['add']> {
  const eventfd = native.eventfd();
  eventfds.push(eventfd);
  const watch = watches.add(eventfd, () => told++, true);
  expect(submission.untaken).toBe(1);
  return watch;
}

test('a poll that has ended is begun anew at once', () => {
  addWatch();
  watches.told(FIRST_WATCH, POLLED, TERMINAL);
  watches.fill();
  expect([submission.untaken, retries]).toEqual([2, 0]);
});

test('a poll that was refused is told, and begun anew in a moment, not at once', () => {
  addWatch();
  watches.told(FIRST_WATCH, ENOMEM, TERMINAL);
  watches.callBack();
  watches.fill();
  expect([submission.untaken, retries, told]).toEqual([1, 1, 1]);
  watches.offerAgain();
  watches.fill();
  expect(submission.untaken).toBe(2);
});

test('a watch that was stopped before its poll is offered again is forgotten', () => {
  const watch = addWatch();
  watches.told(FIRST_WATCH, ENOMEM, TERMINAL);
  watch.stop();
  watches.offerAgain();
  watches.fill();
  expect([submission.untaken, watches.active]).toEqual([1, 0]);
});
