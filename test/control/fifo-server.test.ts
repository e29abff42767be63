import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Failures } from '../../lib/control/failures';
import {
  dataModelOf,
  FifoServer,
  type FifoServerOptions,
  hostTimeoutOf,
} from '../../lib/control/fifo-server';
import { HOST_TIMEOUT_MS } from '../../lib/control/limits';
import type { Log } from '../../lib/control/log';
import { FakeHost } from './fake-host';
import { RawToolstack } from './raw-toolstack';
import { temporaryDirectory } from './temporary-directory';

interface Setup {
  host: FakeHost;
  ctl: RawToolstack;
  server: FifoServer;
  failures: Failures;
  logged: string[];
  /** Resolves to the reason for which the process would end. */
  idle: Promise<string>;
  ended: string[];
}

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function setup(options: Partial<FifoServerOptions> = {}): Setup {
  const host = new FakeHost();
  const ctl = new RawToolstack(temporaryDirectory());
  const failures = new Failures();
  const logged: string[] = [];
  const note = (_: object, sentence: string): void => void logged.push(sentence);
  const log: Log = { info: note, warn: note, error: note };
  const ended: string[] = [];
  let endedNow: (reason: string) => void;
  const idle = new Promise<string>((resolve) => (endedNow = resolve));
  const server = new FifoServer({
    readFifo: ctl.writeFifo,
    writeFifo: ctl.readFifo,
    host,
    failures,
    log,
    onIdle: (reason) => {
      ended.push(reason);
      endedNow(reason);
    },
    ...options,
  });
  cleanups.push(
    () => server.close(),
    () => ctl.close(),
  );
  return { host, ctl, server, failures, logged, idle, ended };
}

const u32 = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
};
const plain = (hex: string): string => hex.replace(/\s+/g, '');
const hexText = (text: string): string => Buffer.from(`${text}\0`).toString('hex');

/** What malloc left where blktapctrl writes nothing: `readonly` and pads outside PARAMS. */
const HEAP = 'a5 5aa55aa55aa55a';
const PID = `0900 1000 efbe adde ${HEAP}`;
const PID_ANSWER = plain(`0a00 1400 efbe adde 00 00000000000000 ${u32(process.pid)}`);
/** aio:pool/volume, cookie 7, read and write. */
const PARAMS = `0100 1c00 0000 0700 00 5aa55aa55aa55a ${hexText('pool/volume')}`;
const NEWDEV = `0400 1400 0000 0700 ${HEAP} 03 5a 0100`;
const NEWDEV_ANSWER = plain('0500 1000 0000 0700 00 00000000000000');
const CLOSE = `0700 1000 0000 0700 ${HEAP}`;
const IMAGES = {
  lp64: plain(
    '0200 2800 0000 0700 00 00000000000000 1000000001000000 0002000000000000 00000000 00000000',
  ),
  ilp32: plain('0200 2000 0000 0700 00 00000000000000 1000000001000000 00020000 00000000'),
};

describe('the life of a VBD as blktapctrl drives it, byte for byte', () => {
  test.each(['lp64', 'ilp32'] as const)('%s', async (dataModel) => {
    const { ctl, host, idle, ended } = setup({ dataModel });
    ctl.write(PID);
    expect(await ctl.read(20)).toBe(PID_ANSWER);

    ctl.write(PARAMS);
    expect(await ctl.read(IMAGES[dataModel].length / 2)).toBe(IMAGES[dataModel]);

    ctl.write(NEWDEV);
    expect(await ctl.read(16)).toBe(NEWDEV_ANSWER);
    expect(ended).toEqual([]);

    ctl.write(CLOSE);
    expect(await idle).toBe('last disk closed');
    expect(host.calls).toEqual([
      ['open', 7, { path: 'pool/volume', readOnly: false, driverType: 0 }],
      ['connect', 7, { minor: 3, domid: 1 }],
      ['close', 7],
    ]);
    expect(ctl.unread).toBe('');
  });

  test('all of it in one read, and all of it a few bytes at a time', async () => {
    const whole = plain(PID + PARAMS + NEWDEV + CLOSE);
    const answers = PID_ANSWER + IMAGES.lp64 + NEWDEV_ANSWER;
    const first = setup();
    first.ctl.write(whole);
    expect(await first.ctl.read(answers.length / 2)).toBe(answers);
    await first.idle;

    const second = setup();
    for (let at = 0; at < whole.length; at += 14) second.ctl.write(whole.slice(at, at + 14));
    expect(await second.ctl.read(answers.length / 2)).toBe(answers);
    await second.idle;
  });

  test('readonly counts in PARAMS alone', async () => {
    const { ctl, host } = setup();
    ctl.write(PARAMS.replace(' 00 5aa5', ' 01 5aa5'));
    await ctl.read(40);
    expect(host.calls).toEqual([
      ['open', 7, { path: 'pool/volume', readOnly: true, driverType: 0 }],
    ]);
  });
});

describe('failures', () => {
  test('a volume that is not there is IMG_FAIL, and the socket can say why', async () => {
    const { ctl, host, failures, ended } = setup();
    host.refusedPaths.add('pool/volume');
    ctl.write(PARAMS);
    expect(await ctl.read(16)).toBe(plain('0300 1000 0000 0700 00 00000000000000'));
    expect(failures.list()).toEqual([
      { cookie: 7, code: 'VOLUME_NOT_FOUND', message: 'There is no volume pool/volume.' },
    ]);
    expect(ended).toEqual([]);
  });

  test('a device that is not there is NEWDEV_FAIL', async () => {
    const { ctl, host, failures } = setup();
    host.refusedCookies.add(7);
    ctl.write(PARAMS);
    await ctl.read(40);
    ctl.write(NEWDEV);
    expect(await ctl.read(16)).toBe(plain('0600 1000 0000 0700 00 00000000000000'));
    expect(failures.list()[0].code).toBe('DEVICE_MISSING');
    expect(host.openDisks).toBe(1);
  });

  test.each([0, 1, 6])('disk type %d is served', async (type) => {
    const { ctl } = setup();
    ctl.write(PARAMS.replace('1c00 0000', `1c00 0${type}00`));
    expect((await ctl.read(40)).slice(0, 4)).toBe('0200');
  });

  test.each([2, 3, 4, 5, 7])('disk type %d is IMG_FAIL', async (type) => {
    const { ctl, host, failures } = setup();
    ctl.write(PARAMS.replace('1c00 0000', `1c00 0${type}00`));
    expect(await ctl.read(16)).toBe(plain(`0300 1000 0${type}00 0700 00 00000000000000`));
    expect(failures.list()[0].code).toBe('DRIVER_TYPE_UNKNOWN');
    expect(host.calls).toEqual([]);
  });

  test('a size that IMG cannot carry closes the disk again', async () => {
    const { ctl, host } = setup();
    host.image = { sectors: 2 ** 60, sectorSize: 512, info: 0 };
    ctl.write(PARAMS);
    expect((await ctl.read(16)).slice(0, 4)).toBe('0300');
    expect(host.openDisks).toBe(0);
  });

  test('an oversized or impossible message is refused with a line, and the next one is heard', async () => {
    const { ctl, logged } = setup();
    ctl.write(`0100 8813 0000 0700 00 00000000000000 ${'41'.repeat(4984)}`);
    // It was PARAMS by its type, so the toolstack does not wait in vain.
    expect((await ctl.read(16)).slice(0, 4)).toBe('0300');
    expect(logged).toContainEqual(expect.stringContaining('cannot have len 5000'));
    ctl.write(PID);
    expect(await ctl.read(20)).toBe(PID_ANSWER);
  });

  test('an unknown message is ignored', async () => {
    const { ctl, logged } = setup();
    ctl.write(`0b00 1400 0000 0700 ${HEAP} 00000000 ${PID}`);
    expect(await ctl.read(20)).toBe(PID_ANSWER);
    expect(logged).toEqual(['A message on the tapdisk pipe is refused: unknown type 11.']);
  });

  test('a message that breaks off is given up after its deadline', async () => {
    const { ctl, logged } = setup({ partialTimeoutMs: 20 });
    ctl.write(PARAMS.slice(0, -8));
    expect((await ctl.read(16)).slice(0, 4)).toBe('0300');
    ctl.write(PID);
    expect(await ctl.read(20)).toBe(PID_ANSWER);
    expect(logged).toEqual([expect.stringContaining('did not come')]);
  });

  test('a path without end is IMG_FAIL', async () => {
    const { ctl, host, failures } = setup();
    ctl.write(`0100 1400 0000 0700 00 00000000000000 61616161`);
    expect((await ctl.read(16)).slice(0, 4)).toBe('0300');
    expect(failures.list()).toMatchObject([{ cookie: 7, code: 'MESSAGE_MALFORMED' }]);
    expect(host.calls).toEqual([]);
  });
});

describe('several VBDs', () => {
  const params = (cookie: string, name: string): string =>
    `0100 1200 0000 ${cookie} 00 00000000000000 ${hexText(name)}`;

  test('a slow open holds up neither PID nor another cookie, but its own messages', async () => {
    const { ctl, host, idle, ended } = setup();
    host.hold('a');
    ctl.write(params('0100', 'a'));
    ctl.write('0400 1400 0000 0100 00 00000000000000 05 00 0200');
    ctl.write(params('0200', 'b'));
    ctl.write(PID);
    const early = (await ctl.read(40 + 20)).toString();
    expect(early).toContain(PID_ANSWER);
    expect(early).toContain('0200280000000200');
    expect(host.calls).not.toContainEqual(['connect', 1, expect.anything()]);
    host.held.get('a')!();
    expect((await ctl.read(40)).slice(0, 16)).toBe('0200280000000100');
    expect((await ctl.read(16)).slice(0, 16)).toBe('0500100000000100');

    ctl.write('0700 1000 0000 0100 00 00000000000000');
    ctl.write(PID);
    await ctl.read(20);
    expect(ended).toEqual([]);
    ctl.write('0700 1000 0000 0200 00 00000000000000');
    await idle;
    expect(host.openDisks).toBe(0);
  });

  test('CLOSE of one while another is being opened does not end the process', async () => {
    const { ctl, host, ended } = setup();
    host.hold('b');
    ctl.write(params('0100', 'a'));
    await ctl.read(40);
    ctl.write(params('0200', 'b'));
    ctl.write('0700 1000 0000 0100 00 00000000000000');
    ctl.write(PID);
    await ctl.read(20);
    expect(host.openDisks).toBe(0);
    host.held.get('b')!();
    await ctl.read(40);
    expect(ended).toEqual([]);
    expect(host.openDisks).toBe(1);
  });

  test('more messages than are kept are all answered, later', async () => {
    const { ctl, host } = setup();
    host.hold('a');
    const count = 600;
    ctl.write(params('0100', 'a'));
    for (let i = 1; i < count; i++) ctl.write('0400 1400 0000 0100 00 00000000000000 05 00 0200');
    await ctl.read(0);
    host.held.get('a')!();
    await ctl.read(40 + 16 * (count - 1));
    expect(host.calls).toHaveLength(count);
  });
});

describe('deadlines', () => {
  test('an open that is too slow is IMG_FAIL, and what it opens is closed again', async () => {
    const { ctl, host, failures } = setup({ hostTimeoutMs: 20 });
    host.hold('pool/volume');
    ctl.write(PARAMS);
    expect((await ctl.read(16)).slice(0, 4)).toBe('0300');
    expect(failures.list()[0].code).toBe('HOST_TOO_SLOW');
    ctl.write(CLOSE);
    host.held.get('pool/volume')!();
    ctl.write(PID);
    expect(await ctl.read(20)).toBe(PID_ANSWER);
    expect(host.openDisks).toBe(0);
    expect(ctl.unread).toBe('');
  });

  test('a connect that is too slow is NEWDEV_FAIL, and the disk is closed', async () => {
    const { ctl, host } = setup({ hostTimeoutMs: 20 });
    host.hold('device 3');
    ctl.write(PARAMS);
    await ctl.read(40);
    ctl.write(NEWDEV);
    expect((await ctl.read(16)).slice(0, 4)).toBe('0600');
    host.held.get('device 3')!();
    ctl.write(PARAMS);
    expect(await ctl.read(40)).toBe(IMAGES.lp64);
    expect(host.calls.map((call) => (call as unknown[])[0])).toEqual([
      'open',
      'connect',
      'close',
      'open',
    ]);
  });

  test('a process without a disk ends when it hears nothing', async () => {
    const { ctl, host, idle } = setup({ orphanTimeoutMs: 30 });
    host.refusedPaths.add('pool/volume');
    ctl.write(PARAMS);
    await ctl.read(16);
    expect(await idle).toBe('no disk was opened');
  });

  test('a process with a disk does not', async () => {
    const { ctl, ended } = setup({ orphanTimeoutMs: 30 });
    ctl.write(PARAMS);
    await ctl.read(40);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(ended).toEqual([]);
  });

  test('CLOSE of an unknown cookie ends a process that holds nothing', async () => {
    const { ctl, idle } = setup();
    ctl.write(CLOSE);
    expect(await idle).toBe('last disk closed');
  });
});

describe('the FIFOs themselves', () => {
  const server = (readFifo: string, writeFifo: string): FifoServer =>
    new FifoServer({ readFifo, writeFifo, host: new FakeHost(), onIdle: () => undefined });

  test('a missing one', () => {
    const directory = temporaryDirectory();
    expect(() => server(path.join(directory, 'a'), path.join(directory, 'b'))).toThrow(
      expect.objectContaining({ code: 'CONTROL_FIFO_OPEN' }) as Error,
    );
  });

  test('a file that is none', () => {
    const file = path.join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    expect(() => server(file, file)).toThrow(
      expect.objectContaining({ code: 'CONTROL_NOT_FIFO' }) as Error,
    );
  });

  test('the data model comes from the environment', () => {
    expect(dataModelOf({})).toBe('lp64');
    expect(dataModelOf({ TAPDISK_TS_DATA_MODEL: 'ilp32' })).toBe('ilp32');
  });
});

test('a toolstack that says how long it waits is answered shortly before that', () => {
  expect(hostTimeoutOf({})).toBe(HOST_TIMEOUT_MS);
  expect(hostTimeoutOf({ TAPDISK_TS_ANSWER_TIMEOUT_MS: '30000' })).toBe(29_000);
  for (const odd of ['', 'soon', '5', '-1']) {
    expect(hostTimeoutOf({ TAPDISK_TS_ANSWER_TIMEOUT_MS: odd })).toBe(HOST_TIMEOUT_MS);
  }
});
