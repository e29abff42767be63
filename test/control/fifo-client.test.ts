import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { FifoClient } from '../../lib/control/fifo-client';
import { FifoLink } from '../../lib/control/fifo-link';
import { FifoServer } from '../../lib/control/fifo-server';
import { FAKE_IMAGE, FakeHost } from './fake-host';
import { temporaryDirectory } from './temporary-directory';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const code = (name: string): Error => expect.objectContaining({ code: name }) as Error;

function client(answerTimeoutMs = 5_000): FifoClient {
  const made = new FifoClient({ directory: temporaryDirectory(), minor: 3, answerTimeoutMs });
  cleanups.push(() => made.dispose());
  return made;
}

function served(dataModel: 'lp64' | 'ilp32' = 'lp64') {
  const ctl = client();
  const host = new FakeHost();
  let end: (reason: string) => void;
  const idle = new Promise<string>((resolve) => (end = resolve));
  const server = new FifoServer({
    readFifo: ctl.writeFifo,
    writeFifo: ctl.readFifo,
    host,
    dataModel,
    onIdle: (reason) => end(reason),
  });
  cleanups.push(() => server.close());
  return { ctl, host, idle };
}

/** A peer that answers each message with the bytes that the test chose. */
function scripted(ctl: FifoClient, answers: string[]): void {
  const link: FifoLink = new FifoLink({
    readFifo: ctl.writeFifo,
    writeFifo: ctl.readFifo,
    direction: 'toTapdisk',
    sink: {
      message: () => {
        const answer = answers.shift();
        if (answer) link.send(Buffer.from(answer.replace(/\s+/g, ''), 'hex'));
      },
      refused: () => undefined,
      failed: () => undefined,
    },
  });
  cleanups.push(() => link.close());
}

const IMAGE = { path: 'pool/volume', readOnly: true, driverType: 0 };

test.each(['lp64', 'ilp32'] as const)('a whole life against the server, %s', async (model) => {
  const { ctl, host, idle } = served(model);
  expect(await ctl.pid()).toBe(process.pid);
  expect(await ctl.open(9, IMAGE)).toEqual(FAKE_IMAGE);
  await ctl.connect(9, { minor: 3, domid: 4, driverType: 0 });
  ctl.closeDisk(9, 0);
  await idle;
  expect(host.calls).toEqual([
    ['open', 9, IMAGE],
    ['connect', 9, { minor: 3, domid: 4 }],
    ['close', 9],
  ]);
});

test('questions asked at once are asked one after the other', async () => {
  const { ctl } = served();
  const answers = await Promise.all([ctl.pid(), ctl.open(1, IMAGE), ctl.pid(), ctl.open(2, IMAGE)]);
  expect(answers).toEqual([process.pid, FAKE_IMAGE, process.pid, FAKE_IMAGE]);
});

test('the reference`s IMG, with len and cookie 0', async () => {
  const ctl = client();
  scripted(ctl, [
    '0200 0000 0000 0000 00 00000000000000 0010000000000000 0002000000000000 04000000 00000000',
  ]);
  expect(await ctl.open(9, IMAGE)).toEqual({ sectors: 4096, sectorSize: 512, info: 4 });
});

test('refusals are told apart', async () => {
  const { ctl, host } = served();
  host.refusedPaths.add(IMAGE.path);
  await expect(ctl.open(1, IMAGE)).rejects.toThrow(code('TAPDISK_OPEN_FAILED'));
  host.refusedCookies.add(2);
  const device = { minor: 3, domid: 0, driverType: 0 };
  await expect(ctl.connect(2, device)).rejects.toThrow(code('TAPDISK_CONNECT_FAILED'));
  await expect(ctl.connect(2, { ...device, minor: 256 })).rejects.toThrow(
    code('MESSAGE_FIELD_RANGE'),
  );
});

test('no answer in time; a late one is not taken for the next', async () => {
  const ctl = client(30);
  scripted(ctl, []);
  await expect(ctl.pid()).rejects.toThrow(code('TAPDISK_NO_ANSWER'));
  await expect(ctl.open(1, IMAGE)).rejects.toThrow(code('TAPDISK_NO_ANSWER'));
});

test('an answer of another kind is passed over', async () => {
  const ctl = client(30);
  scripted(ctl, ['0500 1000 0000 0700 00 00000000000000']);
  await expect(ctl.pid()).rejects.toThrow(code('TAPDISK_NO_ANSWER'));
});

test('a process that dies is noticed without waiting for the deadline', async () => {
  const ctl = client(60_000);
  const victim: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => victim.once('exit', resolve));
  const pid = Buffer.alloc(4);
  pid.writeInt32LE(victim.pid!);
  scripted(ctl, [`0a00 1400 0000 0000 00 00000000000000 ${pid.toString('hex')}`]);
  expect(await ctl.pid()).toBe(victim.pid);
  const opening = ctl.open(1, IMAGE);
  victim.kill('SIGKILL');
  await exited;
  await expect(opening).rejects.toThrow(code('TAPDISK_DIED'));
});

test('the FIFOs are private, bear blktapctrl`s names and go with the client', async () => {
  const directory = temporaryDirectory();
  const ctl = new FifoClient({ directory, minor: 12 });
  expect(ctl.readFifo).toBe(path.join(directory, 'tapctrlread12'));
  expect(ctl.writeFifo).toBe(path.join(directory, 'tapctrlwrite12'));
  expect(statSync(ctl.readFifo).mode & 0o777).toBe(0o600);
  await ctl.dispose();
  expect(existsSync(ctl.readFifo) || existsSync(ctl.writeFifo)).toBe(false);
});

test('a FIFO that cannot be made', () => {
  const directory = temporaryDirectory();
  mkdirSync(path.join(directory, 'tapctrlwrite3'));
  expect(() => new FifoClient({ directory, minor: 3 })).toThrow(code('CONTROL_FIFO_CREATE'));
  expect(existsSync(path.join(directory, 'tapctrlread3'))).toBe(false);
});

describe('the provider', () => {
  const run = (program: string, timeoutMs = 5_000): Promise<void> =>
    client().spawn({ program, timeoutMs });

  test('that exits 0 has gone to the background', async () => {
    await expect(run('true')).resolves.toBeUndefined();
  });

  test('that is not there', async () => {
    await expect(run('/nowhere/tapdisk')).rejects.toThrow(code('TAPDISK_SPAWN_FAILED'));
  });

  test('that fails is quoted', async () => {
    // `ls` lists its two arguments; in this directory they are no files of that name.
    const ctl = client();
    await ctl.dispose();
    await expect(ctl.spawn({ program: 'ls' })).rejects.toThrow(/exit code 2: ls: .*tapctrlwrite3/);
  });

  test('that stays in the foreground is killed', async () => {
    const ctl = client();
    // `cat` waits for the FIFOs' other end.
    await expect(ctl.spawn({ program: 'cat', timeoutMs: 100 })).rejects.toThrow(
      /did not go to the background within 100 ms/,
    );
  });
});
