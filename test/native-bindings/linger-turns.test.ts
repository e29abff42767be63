/**
 * The addon's turns by themselves: what may end a sleep, and when there is none. The ring stays
 * empty, so a sleep that nothing bounds lasts as long as the lingering, which no test waits for.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { AddonWatch } from '../../native-bindings/addon';
import { writeNow } from '../../native-bindings/doorbell-io';
import { LINGER_TURN_US } from '../../native-bindings/limits';
import * as posix from '../../native-bindings/posix';
import {
  BACKEND_ARMED,
  CONTROL_WORDS,
  ENTERED,
  HEARD,
  QUIET,
} from '../../native-bindings/uring-control';
import { UringRing } from '../../native-bindings/uring-ring';
import { FOR_EVER_US } from './lingering-engine';
import { requireAddon } from './require-addon';
import { temporaryDirectory } from './temporary-directory';

const ETIME = -62;
const BYTE = new Uint8Array([1]);

const addon = requireAddon();
const directory = temporaryDirectory();
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

let fifos = 0;
function fifo(): number {
  const path = join(directory, `fifo-${fifos++}`);
  posix.mkfifo(path);
  const fd = posix.open(path, posix.O_RDWR | posix.O_NONBLOCK);
  cleanUps.push(() => fs.closeSync(fd));
  return fd;
}

function watchLevel(fd: number, onReadable: () => void): AddonWatch {
  const watch = addon.watchLevel(fd, onReadable);
  if (typeof watch === 'number') throw new Error(`epoll_ctl: ${watch}`);
  cleanUps.push(() => addon.watchStop(watch));
  return watch;
}

/** Starts turns on an empty ring; `onEntered` is called after each call with the words. */
function startTurns(
  lingerUs: number,
  isArmed: boolean,
  onEntered: (control: Int32Array) => void,
): void {
  // Without anything to wait for, libuv's loop ends instead of sleeping.
  watchLevel(fifo(), () => undefined);
  const ring = UringRing.open(addon);
  if (typeof ring === 'string') throw new Error(ring);
  const control = new Int32Array(CONTROL_WORDS);
  control[BACKEND_ARMED] = isArmed ? 1 : 0;
  const linger = addon.lingerNew(
    ring.enterFd,
    ring.enterFlags,
    new Uint8Array(control.buffer),
    lingerUs,
    LINGER_TURN_US,
    () => {
      control[HEARD] = 0;
      onEntered(control);
    },
  );
  if (typeof linger === 'number') throw new Error(`lingerNew: ${linger}`);
  cleanUps.push(() => {
    addon.lingerClose(linger);
    ring.close();
  });
  addon.lingerStart(linger);
}

test('while the poll of the backend is not armed, no turn sleeps', async () => {
  let calls = 0;
  await new Promise<void>((resolve) =>
    startTurns(FOR_EVER_US, false, (control) => {
      expect(control[ENTERED]).toBe(0);
      if (++calls === 20) resolve();
    }),
  );
});

test('when the poll is taken away in a call back, or by a promise of it, the next call does not sleep', async () => {
  let calls = 0;
  await new Promise<void>((resolve) =>
    startTurns(FOR_EVER_US, false, (control) => {
      control[BACKEND_ARMED] = 1;
      if (++calls === 20) resolve();
      else if (calls % 2 === 0) control[BACKEND_ARMED] = 0;
      else void Promise.resolve().then(() => (control[BACKEND_ARMED] = 0));
    }),
  );
});

test('a timer of libuv bounds a sleep', async () => {
  startTurns(FOR_EVER_US, true, () => undefined);
  for (let round = 0; round < 5; round++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
});

test('a timer that a call back starts bounds the next sleep', async () => {
  await new Promise<void>((resolve) => {
    let started = false;
    startTurns(FOR_EVER_US, false, (control) => {
      control[BACKEND_ARMED] = 1;
      if (!started) setTimeout(resolve, 2);
      started = true;
    });
  });
});

test('setImmediate, process.nextTick and promises of a call back forbid the next sleep', async () => {
  let calls = 0;
  const ran: string[] = [];
  await new Promise<void>((resolve) =>
    startTurns(FOR_EVER_US, false, (control) => {
      control[BACKEND_ARMED] = 1;
      if (++calls > 1) return;
      process.nextTick(() => ran.push('tick'));
      void Promise.resolve().then(() => ran.push('promise'));
      setImmediate(() => {
        ran.push('immediate');
        resolve();
      });
    }),
  );
  expect(ran).toEqual(['tick', 'promise', 'immediate']);
});

test('a file that libuv has not put into its epoll file yet forbids the next sleep', async () => {
  const ready = fifo();
  writeNow(ready, BYTE);
  await new Promise<void>((resolve) => {
    let watched = false;
    startTurns(FOR_EVER_US, false, (control) => {
      control[BACKEND_ARMED] = 1;
      if (watched) return;
      watched = true;
      // Not stopped at once: the file stays ready, and libuv tells of it again and again.
      watchLevel(ready, () => resolve());
    });
  });
});

test('a sleep that nothing ends is over when the lingering is, and says so', async () => {
  const seen = await new Promise<number[]>((resolve) =>
    startTurns(1000, true, (control) => {
      if (control[QUIET] !== 0) resolve([...control]);
    }),
  );
  expect(seen[ENTERED]).toBe(ETIME);
});

test('what was heard begins the time anew', async () => {
  let quietCalls = 0;
  await new Promise<void>((resolve) =>
    // Else the first sleep would be the only one.
    startTurns(1000, true, (control) => {
      control[HEARD] = 1;
      if (control[ENTERED] === ETIME && ++quietCalls === 3) resolve();
    }),
  );
});
