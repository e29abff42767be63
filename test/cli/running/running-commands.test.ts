import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { processIsAlive } from '../../../lib/control/process-alive';
import { ShmDevice } from '../../../lib/frontend/shm/shm-device';
import { type CommandRun, runCommand } from '../captured-io';
import { makeFakeTapdisk } from '../../control/fake-tapdisk';

let root: string;
let program: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-running-'));
  program = makeFakeTapdisk(path.join(root, 'program'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Place {
  env: Record<string, string>;
  runtime: string;
  rings: string;
  run(...argv: string[]): Promise<CommandRun>;
}

let places = 0;
const pids: number[] = [];
afterEach(() => {
  for (const pid of pids.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  }
});

/** A runtime directory and a place for stand-in devices of one test's own. */
function place(extra: Record<string, string> = {}): Place {
  const home = path.join(root, String(places++));
  const [runtime, rings] = [path.join(home, 'run'), path.join(home, 'rings')];
  mkdirSync(rings, { recursive: true });
  const env = {
    PATH: process.env.PATH ?? '',
    TAPDISK_TS_RUNTIME_DIR: runtime,
    TAPDISK_TS_PROGRAM: program,
    ...extra,
  };
  return { env, runtime, rings, run: (...argv) => runCommand(argv, { env }) };
}

interface Attached {
  pid: number;
  minor: number;
  device: string;
}

async function attach(at: Place, volume: string, ...options: string[]): Promise<Attached> {
  const { exitCode, out, err } = await at.run(
    ...['attach', volume, '--device', `shm:${at.rings}`, '--json', ...options],
  );
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  const attached = JSON.parse(out) as Attached;
  pids.push(attached.pid);
  return attached;
}

async function ended(pid: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (processIsAlive(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} did not end`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('the life of a disk, each command from a shell of its own', async () => {
  const at = place();
  const { pid, device } = await attach(at, 'main/disk1', '--read-only', '--domid', '4');
  expect(device).toBe(`shm:${at.rings}/blktap0`);
  // The FIFOs have done their duty; the socket and the log are what stays.
  expect(readdirSync(at.runtime).sort()).toEqual(['main.disk1.log', `vbd-${pid}.sock`]);

  const listed = async () =>
    JSON.parse((await at.run('list', '--running', '--json')).out) as object[];
  const state = { volume: 'main/disk1', pid, device, domid: 4, readOnly: true };
  expect(await listed()).toMatchObject([{ ...state, state: 'running', recording: null }]);

  expect((await at.run('pause', 'main/disk1')).out).toContain('main/disk1 paused');
  expect(await listed()).toMatchObject([{ ...state, state: 'paused' }]);
  expect((await at.run('resume', 'main/disk1', '--pid', String(pid))).exitCode).toBe(0);
  expect(await listed()).toMatchObject([{ ...state, state: 'running' }]);

  const trace = path.resolve('some.trace');
  expect((await at.run('record', 'main/disk1', '--output', 'some.trace')).exitCode).toBe(0);
  expect(await listed()).toMatchObject([{ ...state, recording: trace }]);
  expect((await at.run('record', 'main/disk1', '--stop')).out).toBe(
    `7 requests recorded in ${trace}\n`,
  );
  expect(await at.run('record', 'main/disk1', '--stop')).toMatchObject({ exitCode: 3, out: '' });

  expect((await at.run('detach', 'main/disk1')).exitCode).toBe(0);
  await ended(pid);
  expect(await listed()).toEqual([]);
  expect(existsSync(path.join(at.rings, 'blktap0'))).toBe(true);
});

test('a second process stands by on the same device, and is asked only by its pid', async () => {
  const at = place();
  const { pid, device } = await attach(at, 'main/disk1');
  const { out } = await at.run(...['attach', 'main/disk1', '--device', device, '--wait', '--json']);
  const standby = JSON.parse(out) as Attached & { state: string };
  pids.push(standby.pid);
  expect(standby).toMatchObject({ device, minor: 0, state: 'standby' });
  expect(readdirSync(at.rings)).toEqual(['blktap0']);
  expect((await at.run('pause', 'main/disk1')).out).toContain(`process ${pid}`);
  expect((await at.run('list', '--running')).out).toMatch(/standby/);
  expect((await at.run('handover', 'main/disk1')).out).toBe(
    `main/disk1 handed over from process ${pid} to there:7; blackout here 12.3 ms\n`,
  );
  expect((await at.run('handover', 'main/disk1', '--to', 'nobody:1')).exitCode).toBe(3);
  const told = await at.run('handover', 'main/disk1', '--to', 'b:2', '--json');
  expect(JSON.parse(told.out)).toEqual({ volume: 'main/disk1', pid, to: 'b:2', blackoutMs: 12.3 });
});

test('a steal ends when the volume is ours, or says why it never will be', async () => {
  const at = place();
  const { pid } = await attach(at, 'main/disk1', '--steal');
  expect(processIsAlive(pid)).toBe(true);
  const { exitCode, err } = await at.run(
    ...['attach', 'main/undying', '--steal', '--device', `shm:${at.rings}`, '--json'],
  );
  expect(exitCode).toBe(1);
  expect(JSON.parse(err)).toEqual({
    error: { code: 'STEAL_FAILED', message: 'the owner does not die' },
  });
  expect(readdirSync(at.rings)).toEqual(['blktap0']);
});

test('stats: a table, JSON, and samples', async () => {
  const at = place();
  await attach(at, 'main/disk1');
  const { out } = await at.run('stats', 'main/disk1');
  expect(out).toMatch(/OPERATION +REQUESTS/);
  expect(out).toMatch(/read +1000 +- +- +0 +10 +90 +100/);
  expect(out).toMatch(/store.kind +fake/);
  expect(JSON.parse((await at.run('stats', 'main/disk1', '--json')).out)).toMatchObject({
    requests: { read: { requests: 2000 } },
  });

  const watched = await at.run('stats', 'main/disk1', '--watch', '0.01', '--count', '2');
  expect(watched.out).toMatch(/read +3000 +- +- /);
  expect(watched.out).toMatch(/read +4000 +[1-9][0-9]* +[0-9.]+ /);
  const samples = await at.run(
    ...['stats', 'main/disk1', '--json', '--watch', '0.01', '--count', '2'],
  );
  expect(
    samples.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
  ).toMatchObject([
    { requests: { read: { requests: 5000 } } },
    { requests: { read: { requests: 6000 } } },
  ]);
});

test('two volumes get two processes and two devices', async () => {
  const at = place();
  const first = await attach(at, 'main/disk1');
  const second = await attach(at, 'main/disk2');
  expect([first.minor, second.minor]).toEqual([0, 1]);
  expect(second.pid).not.toBe(first.pid);
  expect((await at.run('detach', 'main/disk1', '--remove-device')).exitCode).toBe(0);
  await ended(first.pid);
  expect(readdirSync(at.rings)).toEqual(['blktap1']);
  expect(processIsAlive(second.pid)).toBe(true);
});

test('a device named by its minor is taken again after its process was killed', async () => {
  const at = place();
  const first = await attach(at, 'main/disk1', '--minor', '7');
  process.kill(first.pid, 'SIGKILL');
  await ended(first.pid);
  const second = await attach(at, 'main/disk1', '--minor', '7');
  expect(second).toMatchObject({ minor: 7, device: first.device });
  expect(() => ShmDevice.open(path.join(at.rings, 'blktap7'))).not.toThrow();
});

describe('a failed attach', () => {
  const fails = async (at: Place, ...argv: string[]): Promise<CommandRun> => {
    const run = await at.run('attach', ...argv);
    expect(run.out).toBe('');
    expect(run.err).toMatch(/^tapdisk-ts: [^\n]+\n$/);
    return run;
  };
  const onRing = (at: Place): string[] => ['--device', `shm:${at.rings}`];

  test.each([
    ['main/refused', 3, 'no volume main/refused'],
    ['main/unconnectable', 3, 'no device 0'],
  ])(
    '%s is told with the process`s own reason, and leaves nothing',
    async (volume, code, words) => {
      const at = place();
      const { exitCode, err } = await fails(at, volume, ...onRing(at));
      expect(exitCode).toBe(code);
      expect(err).toContain(words);
      expect(readdirSync(at.runtime).filter((name) => !name.endsWith('.log'))).toEqual([]);
      expect(readdirSync(at.rings)).toEqual([]);
    },
  );

  test('an open without end is given up', async () => {
    const at = place({ FAKE_HOST_TIMEOUT_MS: '50' });
    const { err } = await fails(at, 'main/mute', ...onRing(at));
    expect(err).toContain('took longer than the toolstack waits');
    expect(readdirSync(at.rings)).toEqual([]);
    expect(readFileSync(path.join(at.runtime, 'main.mute.log'), 'utf8')).toContain('HOST_TOO_SLOW');
  }, 30_000);

  test('a program that cannot be started', async () => {
    const at = place({ TAPDISK_TS_PROGRAM: '/nowhere/tapdisk' });
    const { err } = await fails(at, 'main/disk1', ...onRing(at));
    expect(err).toContain('/nowhere/tapdisk cannot be started');
    expect(readdirSync(at.rings)).toEqual([]);
    expect(readdirSync(at.runtime)).toEqual([]);
  });

  test.each([
    [['main'], 'ADDRESS_INVALID'],
    [['main/disk1', '--minor', '256'], 'DEVICE_OPTION_INVALID'],
    [['main/disk1', '--minor', '1.5'], 'DEVICE_OPTION_INVALID'],
    [['main/disk1', '--device', 'shm:'], 'DEVICE_OPTION_INVALID'],
    [['main/disk1', '--device', 'shm:/a%b'], 'DEVICE_OPTION_INVALID'],
    [['main/disk1', '--device', '/dev/xen/blktap'], 'DEVICE_OPTION_INVALID'],
    [['main/disk1', '--device', '/dev/xen/blktap3', '--minor', '4'], 'DEVICE_OPTION_INVALID'],
  ])('%j is %s before anything is started', async (argv, code) => {
    const { exitCode, err } = await place().run('attach', ...argv, '--json');
    expect(exitCode).not.toBe(0);
    expect(JSON.parse(err)).toMatchObject({ error: { code } });
  });

  test('a template for character devices needs a minor', async () => {
    const at = place({ TAPDISK_TS_DEVICE: '/dev/xen/blktap%d' });
    const { err } = await at.run('attach', 'main/disk1', '--json');
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'DEVICE_MINOR_MISSING' } });
  });
});

test('a disk that does not run is not found', async () => {
  for (const command of ['detach', 'pause', 'resume', 'stats']) {
    const { exitCode, err } = await place().run(command, 'main/disk1', '--json');
    expect(exitCode).toBe(3);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'DISK_NOT_FOUND' } });
  }
});

test.each([
  [['record', 'main/disk1']],
  [['attach', 'main/disk1', '--wait', '--steal']],
  [['attach', 'main/disk1', '--wait', '--read-only']],
  [['record', 'main/disk1', '--stop', '--output', 'x']],
  [['record', 'main/disk1', '--output', 'x', '--payload', 'half']],
  [['stats', 'main/disk1', '--watch', '0']],
  [['stats', 'main/disk1', '--count', '3']],
])('%j is a wrong command line', async (argv) => {
  expect((await place().run(...argv)).exitCode).toBe(2);
});
