/** What becomes of operations that the kernel does not take at once. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Addon } from '../../native-bindings/addon';
import { UringEngine } from '../../native-bindings/uring-engine';
import { testWhere } from '../where';
import { requireAddon } from './require-addon';
import { temporaryDirectory } from './temporary-directory';

const EINTR = -4;
const EAGAIN = -11;
const EBUSY = -16;
const ECANCELED = -125;
const COUNT = 700;

const directory = temporaryDirectory();
const addon = requireAddon();

/** Writes COUNT numbers by an engine whose kernel takes entries as `enter` says. */
async function writeThrough(enter: Addon['ringEnter']): Promise<number[]> {
  const fd = fs.openSync(join(directory, 'numbers'), 'w+');
  const memory = { bytes: Buffer.alloc(COUNT * 4), address: 0 };
  const told: number[] = [];
  const quiet = new Promise<void>((resolve) => {
    const engine = UringEngine.open(
      { ...addon, ringEnter: enter },
      (token, result) => told.push(result === 4 ? token : -1),
      () => {
        if (engine.inFlight === 0) resolve(engine.close());
      },
    ) as UringEngine;
    for (let token = 0; token < COUNT; token++) {
      memory.bytes.writeUInt32LE(token, token * 4);
      engine.write(fd, memory, token * 4, 4, token * 4, token);
    }
    engine.submit();
  });
  await quiet;
  expect(fs.readFileSync(fd)).toEqual(memory.bytes);
  fs.closeSync(fd);
  return told.sort((left, right) => left - right);
}

const probe = UringEngine.open(addon, jest.fn(), jest.fn());
if (typeof probe !== 'string') probe.close();
const testUring = testWhere(typeof probe === 'string' ? probe : null, 'io_uring short of entries');
const everyToken = Array.from({ length: COUNT }, (_, token) => token);

testUring.each([
  ['is interrupted', EINTR],
  ['has no memory', EAGAIN],
  ['is busy', EBUSY],
])('a kernel that %s at first is asked again', async (_what, errno) => {
  let refusals = 3;
  const told = await writeThrough((fd, toSubmit, minComplete, flags) =>
    toSubmit > 0 && refusals-- > 0 ? errno : addon.ringEnter(fd, toSubmit, minComplete, flags),
  );
  expect(told).toEqual(everyToken);
});

testUring('a kernel that takes a few at a time is given the rest', async () => {
  let most = 0;
  const told = await writeThrough((fd, toSubmit, minComplete, flags) => {
    most = Math.max(most, toSubmit);
    return addon.ringEnter(fd, Math.min(toSubmit, 37), minComplete, flags);
  });
  expect(told).toEqual(everyToken);
  expect(most).toBeGreaterThan(37);
});

testUring('what the kernel does not take of a guarded engine is given back, not kept', async () => {
  const fd = fs.openSync(join(directory, 'given back'), 'w+');
  const memory = { bytes: Buffer.from('12345678'), address: 0 };
  let taken = 0;
  const results = new Map<number, number>();
  await new Promise<void>((resolve) => {
    const engine = UringEngine.open(
      {
        ...addon,
        ringEnter: (ring, toSubmit, minComplete, flags) => {
          // One entry, and then no more memory, until all were told.
          const canTake = results.size === 3 ? toSubmit : Math.min(toSubmit, 1 - taken);
          if (toSubmit > 0 && canTake === 0) return EAGAIN;
          taken += canTake;
          return addon.ringEnter(ring, canTake, minComplete, flags);
        },
      },
      (token, result) => results.set(token, result),
      () => {
        if (engine.inFlight === 0) resolve(engine.close());
      },
    ) as UringEngine;
    engine.guard(() => true);
    for (let token = 0; token < 3; token++) engine.write(fd, memory, token, 1, token, token);
    engine.submit();
  });
  expect(results).toEqual(
    new Map([
      [0, 1],
      [1, ECANCELED],
      [2, ECANCELED],
    ]),
  );
  expect(fs.readFileSync(fd, 'latin1')).toBe('1');
  fs.closeSync(fd);
});
