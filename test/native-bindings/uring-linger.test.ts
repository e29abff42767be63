/** Lingering in an io_uring: who is served meanwhile, when it ends, and that nothing is lost. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Addon } from '../../native-bindings/addon';
import { readNow, writeNow } from '../../native-bindings/doorbell-io';
import { URING_SUBMISSIONS } from '../../native-bindings/limits';
import * as posix from '../../native-bindings/posix';
import { watchReadable, type Watch } from '../../native-bindings/readiness';
import { BACKEND_ARMED, ENTERED, TO_SUBMIT } from '../../native-bindings/uring-control';
import { describeReadiness } from './readiness-contract';
import { FOR_EVER_US, LingeringEngine } from './lingering-engine';
import { requireAddon } from './require-addon';
import { temporaryDirectory } from './temporary-directory';
import { thrownBy } from './thrown-by';

const EAGAIN = -11;
const NO_FILE = -1;
const BYTE = new Uint8Array([1]);
const ADDON = join(__dirname, '../../native-bindings/addon/build/Release/tapdisk_native.node');

const addon = requireAddon();
const directory = temporaryDirectory();
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

function fifo(name: string): number {
  const path = join(directory, name);
  posix.mkfifo(path);
  const fd = posix.open(path, posix.O_RDWR | posix.O_NONBLOCK);
  cleanUps.push(() => {
    fs.closeSync(fd);
    fs.unlinkSync(path);
  });
  return fd;
}

/** Its doorbells are stopped, and it is closed, after the test. */
function lingering(...options: ConstructorParameters<typeof LingeringEngine>): LingeringEngine {
  const made = new LingeringEngine(...options);
  cleanUps.push(() => made.engine.close());
  return made;
}

/** A doorbell of an engine, whose rings can be awaited. */
class Doorbell {
  rings = 0;
  readonly fd: number;
  readonly watch: Watch;
  private heard: (() => void) | null = null;

  constructor(name: string, { engine }: LingeringEngine, onRing?: () => void) {
    this.fd = fifo(name);
    this.watch = engine.watchReadable(this.fd, () => {
      const bytes = readNow(this.fd, new Uint8Array(64));
      if (bytes > 0) this.rings += bytes;
      if (bytes > 0) onRing?.();
      this.heard?.();
    });
    cleanUps.push(() => this.watch.stop());
  }

  /** Rings it; resolves when it was heard. */
  ring(): Promise<void> {
    const heard = new Promise<void>((resolve) => (this.heard = resolve));
    writeNow(this.fd, BYTE);
    return heard;
  }
}

/** Turns that a test makes instead of the addon. */
class TurnsByHand {
  control: Int32Array = new Int32Array(0);
  onEntered = (): void => undefined;
  starts = 0;
  stops = 0;
  readonly overrides: Partial<Addon> = {
    lingerNew: (_fd, _flags, words, _lingerUs, _turnUs, entered) => {
      this.control = new Int32Array(words.buffer);
      this.onEntered = entered;
      return {} as never;
    },
    lingerStart: () => this.starts++,
    lingerStop: () => this.stops++,
    lingerClose: () => undefined,
  };
}

function turnOfLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Rings a FIFO that libuv's loop watches; resolves when that was told. */
function toldOf(fd: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchReadable(fd, () => {
      watch.stop();
      resolve();
    });
    writeNow(fd, BYTE);
  });
}

/** Some rounds of libuv's loop and more, until it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe.each([
  ['that lingers', FOR_EVER_US],
  ['that lingers for moments', 20],
  ['that never lingers', 0],
])('watches of an engine %s', (_, lingerUs) => {
  let made: LingeringEngine;
  beforeEach(() => {
    made = new LingeringEngine(lingerUs);
  });
  describeReadiness((...watched) => made.engine.watchReadable(...watched));
  afterEach(() => made.engine.close());
});

test('doorbells and transfers after the first are told without the eventfd', async () => {
  const made = lingering(FOR_EVER_US);
  const bell = new Doorbell('busy', made);
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  const memory = { bytes: Buffer.from('four'), address: 0 };
  await bell.ring();
  for (let round = 0; round < 100; round++) {
    await bell.ring();
    made.engine.write(fd, memory, 0, 4, round * 4, round);
    made.engine.submit();
    await until(() => made.results.size === round + 1);
  }
  expect(made.eventfdWakeUps).toBe(1);
  expect([...made.results.values()].every((result) => result === 4)).toBe(true);
  expect(fs.readFileSync(join(directory, 'file'), 'latin1')).toBe('four'.repeat(100));
});

test('what keeps the process alive is taken once a lingering, not once a request, and given up after it', async () => {
  const asked: boolean[] = [];
  const made = lingering(100_000, {
    watchReference: (watch, keepAlive) => {
      asked.push(keepAlive);
      addon.watchReference(watch, keepAlive);
    },
  });
  const bell = new Doorbell('unheld', made);
  bell.watch.keepAlive(false);
  const fd = fs.openSync(join(directory, 'unheld-file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  const memory = { bytes: Buffer.from('four'), address: 0 };
  await bell.ring();
  expect(made.isLingering).toBe(true);
  asked.length = 0;
  for (let round = 0; round < 100; round++) {
    made.engine.write(fd, memory, 0, 4, 0, round);
    made.engine.submit();
    await until(() => made.results.size === round + 1);
  }
  // One a lingering: a busy machine may make several of it.
  expect(asked.length).toBeLessThan(20);
  await until(() => !made.isLingering);
  expect(asked.at(-1)).toBe(false);
});

test('an engine without a doorbell does not linger', async () => {
  const made = lingering(FOR_EVER_US);
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  made.engine.read(fd, { bytes: Buffer.alloc(8), address: 0 }, 0, 8, 0, 1);
  made.engine.submit();
  await until(() => made.results.size === 1);
  expect(made.turns).toBe(0);
});

test('timers, immediates, promises, files and other watches are served while an engine lingers', async () => {
  const made = lingering(FOR_EVER_US);
  const bell = new Doorbell('lingers', made);
  await bell.ring();
  expect(made.isLingering).toBe(true);
  for (let round = 0; round < 50; round++) await turnOfLoop();
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 1));
  await fs.promises.readFile(__filename);
  await toldOf(fifo('other'));
  expect(made.isLingering).toBe(true);
});

test('promises of a doorbell go on before the next wait', async () => {
  const made = lingering(FOR_EVER_US);
  const bell = new Doorbell('promises', made);
  await bell.ring();
  const turnsBefore = made.turns;
  await bell.ring();
  for (let step = 0; step < 1000; step++) await Promise.resolve();
  expect(made.turns - turnsBefore).toBeLessThan(10);
});

test('when nothing comes it ends, and then nothing runs until the next ring', async () => {
  const made = lingering(1000);
  const bell = new Doorbell('quiet', made);
  await bell.ring();
  await until(() => !made.isLingering);
  const { turns, eventfdWakeUps } = made;
  await new Promise((resolve) => setTimeout(resolve, 60));
  for (let round = 0; round < 3; round++) await toldOf(fifo(`meanwhile-${round}`));
  expect([made.turns, made.eventfdWakeUps]).toEqual([turns, eventfdWakeUps]);
  await bell.ring();
  expect(made.eventfdWakeUps).toBe(eventfdWakeUps + 1);
});

test('a ring while an engine leaves is heard', async () => {
  let atLeaving = (): void => undefined;
  const made = lingering(1000, {
    lingerStop: (linger) => {
      addon.lingerStop(linger);
      atLeaving();
    },
  });
  const bell = new Doorbell('leaving', made);
  await bell.ring();
  const heard = new Promise<void>((resolve) => {
    atLeaving = () => {
      atLeaving = () => undefined;
      void bell.ring().then(resolve);
    };
  });
  await heard;
  expect(bell.rings).toBe(2);
});

test('of two engines one lingers, and both are served', async () => {
  const [one, two] = [lingering(FOR_EVER_US), lingering(FOR_EVER_US)];
  const bells = [new Doorbell('one', one), new Doorbell('two', two)];
  for (let round = 0; round < 200; round++) await Promise.all(bells.map((bell) => bell.ring()));
  expect([one.isLingering, two.isLingering].sort()).toEqual([false, true]);
  expect(bells.map((bell) => bell.rings)).toEqual([200, 200]);
});

test('an engine that is closed leaves its place to another', async () => {
  const one = new LingeringEngine(FOR_EVER_US);
  const bell = new Doorbell('closed', one);
  await bell.ring();
  bell.watch.stop();
  one.engine.close();
  const two = lingering(FOR_EVER_US);
  await new Doorbell('next', two).ring();
  await until(() => two.isLingering);
});

test('nobody lingers while a character device is watched', async () => {
  const made = lingering(FOR_EVER_US);
  const bell = new Doorbell('beside', made);
  await bell.ring();
  expect(made.isLingering).toBe(true);
  const device = fs.openSync('/dev/ptmx', 'r+');
  cleanUps.push(() => fs.closeSync(device));
  const watch = watchReadable(device, () => undefined);
  expect(made.isLingering).toBe(false);
  await bell.ring();
  await bell.ring();
  expect(made.isLingering).toBe(false);
  watch.stop();
  await bell.ring();
  await until(() => made.isLingering);
});

/** So long that whatever is due by the clock is due. */
function spin(): void {
  const untilMs = performance.now() + 5;
  while (performance.now() < untilMs);
}

test.each(['a call back of libuv', 'a promise of a doorbell'])(
  "%s that takes all completions leaves libuv's files their turn",
  async (who) => {
    const made = lingering(FOR_EVER_US);
    let atRing = (): void => undefined;
    const bell = new Doorbell(`taken-by ${who}`, made, () => atRing());
    await bell.ring();
    const ready = fifo(`ready-beside ${who}`);
    await turnOfLoop();
    await new Promise<void>((resolve) => {
      const watch = watchReadable(ready, resolve);
      cleanUps.push(() => watch.stop());
      // One of libuv's files is ready, the kernel has said so in the ring, and nobody was told.
      const takeAll = (): void => {
        writeNow(ready, BYTE);
        spin();
        made.engine.poll();
      };
      if (who === 'a promise of a doorbell') {
        atRing = () => void Promise.resolve().then(takeAll);
        void bell.ring();
      } else {
        const first = fifo('first');
        const once = watchReadable(first, () => {
          once.stop();
          takeAll();
        });
        writeNow(first, BYTE);
      }
    });
    expect(made.isLingering).toBe(true);
  },
);

test("where libuv's epoll file cannot be polled nobody lingers, and all are served", async () => {
  const made = lingering(FOR_EVER_US, { backendFd: () => NO_FILE });
  const bell = new Doorbell('refused', made);
  for (let round = 0; round < 20; round++) await bell.ring();
  await until(() => !made.isLingering);
  const { turns } = made;
  await bell.ring();
  await toldOf(fifo('other-than-refused'));
  expect([made.isLingering, made.turns]).toEqual([false, turns]);
});

test('doorbells that come and go while an engine lingers are all heard', async () => {
  const made = lingering(FOR_EVER_US);
  const stays = new Doorbell('stays', made);
  await stays.ring();
  for (let round = 0; round < 10; round++) {
    const bells = Array.from({ length: 60 }, (_, at) => new Doorbell(`${round}-${at}`, made));
    await Promise.all(bells.map((bell) => bell.ring()));
    for (const bell of bells) bell.watch.stop();
    await toldOf(fifo(`round-${round}`));
    await stays.ring();
  }
  expect(made.isLingering).toBe(true);
});

test('whoever takes the completion of the poll, it counts as not armed until libuv had its turn', async () => {
  const turns = new TurnsByHand();
  const made = lingering(FOR_EVER_US, turns.overrides);
  const bell = new Doorbell('by hand', made);
  await bell.ring();
  turns.onEntered();
  made.engine.poll();
  expect(turns.control[BACKEND_ARMED]).toBe(1);
  await toldOf(fifo('ready by hand'));
  made.engine.poll();
  expect(turns.control[BACKEND_ARMED]).toBe(0);
  turns.onEntered();
  expect(turns.control[BACKEND_ARMED]).toBe(1);
});

test('a submission ring without room for the poll is no reason to sleep', async () => {
  const turns = new TurnsByHand();
  let isShort = false;
  const made = lingering(FOR_EVER_US, {
    ...turns.overrides,
    ringEnter: (fd, toSubmit, minComplete, flags) =>
      isShort && toSubmit > 0 ? EAGAIN : addon.ringEnter(fd, toSubmit, minComplete, flags),
  });
  const bell = new Doorbell('full', made);
  await bell.ring();
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  isShort = true;
  const memory = { bytes: Buffer.alloc(8), address: 0 };
  for (let token = 0; token < URING_SUBMISSIONS; token++) {
    made.engine.read(fd, memory, 0, 8, 0, token);
  }
  made.engine.submit();
  turns.onEntered();
  expect(turns.control[BACKEND_ARMED]).toBe(0);
  isShort = false;
  while (made.results.size < URING_SUBMISSIONS) {
    await turnOfLoop();
    made.engine.poll();
  }
  turns.onEntered();
  expect(turns.control[BACKEND_ARMED]).toBe(1);
});

test('a kernel that is short of memory ends it, and what it did not take is offered again', async () => {
  const turns = new TurnsByHand();
  const made = lingering(FOR_EVER_US, turns.overrides);
  const bell = new Doorbell('short', made);
  await bell.ring();
  expect(turns.starts).toBe(1);
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  made.engine.read(fd, { bytes: Buffer.alloc(8), address: 0 }, 0, 8, 0, 77);
  made.engine.submit();
  expect(made.results.size).toBe(0);
  // As a turn of the addon leaves it when io_uring_enter fails.
  turns.control[ENTERED] = EAGAIN;
  turns.onEntered();
  expect(turns.stops).toBe(1);
  await until(() => made.results.get(77) === 0);
});

test.each([
  ['waits for the call that sleeps', false, 1],
  ['of a guarded engine is handed over at once', true, 0],
])('what is begun while lingering %s', async (_, isGuarded, left) => {
  const turns = new TurnsByHand();
  const made = lingering(FOR_EVER_US, turns.overrides);
  if (isGuarded) made.engine.guard(() => true);
  const bell = new Doorbell(`hand-over ${left}`, made);
  await bell.ring();
  // The poll that ends a sleep is handed over with the first call.
  turns.onEntered();
  made.engine.poll();
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  cleanUps.push(() => fs.closeSync(fd));
  made.engine.read(fd, { bytes: Buffer.alloc(8), address: 0 }, 0, 8, 0, 7);
  made.engine.submit();
  expect(turns.control[TO_SUBMIT]).toBe(left);
  made.engine.poll();
  await until(() => {
    made.engine.poll();
    return made.results.has(7);
  });
});

test('no ring is lost at the moments of entering and leaving', async () => {
  const made = lingering(20);
  const ROUNDS = 4000;
  const answers = fifo('answers');
  const bell = new Doorbell('race', made, () => writeNow(answers, BYTE));
  // Rings from another thread, after gaps around the time that the engine lingers.
  const ringer = new Worker(
    `const { workerData } = require('node:worker_threads');
     const { write, read } = require(workerData.addon);
     const bytes = new Uint8Array(1);
     for (let round = 0; round < workerData.rounds; round++) {
       const until = performance.now() + ((round * 7919) % 97) / 1000;
       while (performance.now() < until);
       write(workerData.bell, bytes);
       while (read(workerData.answers, bytes) !== 1);
     }`,
    { eval: true, workerData: { addon: ADDON, bell: bell.fd, answers, rounds: ROUNDS } },
  );
  await new Promise((resolve) => ringer.on('exit', resolve));
  expect(bell.rings).toBe(ROUNDS);
  expect(made.eventfdWakeUps).toBeGreaterThan(10);
});

test('a time that is no number of microseconds is refused', () => {
  process.env.TAPDISK_TS_LINGER_US = '-1';
  cleanUps.push(() => delete process.env.TAPDISK_TS_LINGER_US);
  expect(thrownBy(() => new LingeringEngine(-1))).toMatchObject({
    code: 'LINGER_INVALID',
    message:
      "TAPDISK_TS_LINGER_US is '-1'; set it to microseconds from 0 (never linger) to 10000000",
  });
});
