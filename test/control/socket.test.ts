import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Failures } from '../../lib/control/failures';
import { SOCKET_CONNECTIONS_MAX, SOCKET_LINE_BYTES_MAX } from '../../lib/control/limits';
import { callProcess, findRunningDisk, listRunning } from '../../lib/control/socket-client';
import { SocketServer, type SocketServerOptions } from '../../lib/control/socket-server';
import { FakeAdmin } from './fake-admin';
import { temporaryDirectory } from './temporary-directory';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const code = (name: string): Error => expect.objectContaining({ code: name }) as Error;

async function served(options: Partial<SocketServerOptions> = {}) {
  const env = { TAPDISK_TS_RUNTIME_DIR: temporaryDirectory() };
  const admin = new FakeAdmin();
  const server = await SocketServer.listen({ admin, env, ...options });
  cleanups.push(() => server.close());
  return { env, admin, server, directory: env.TAPDISK_TS_RUNTIME_DIR };
}

/** Sends raw text; resolves to all that came until the server closed or `lines` lines were there. */
function talk(socketPath: string, text: string | Buffer, lines = 1): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    let heard = '';
    socket.setEncoding('utf8');
    socket.on('data', (part: string) => {
      heard += part;
      if (heard.split('\n').length > lines) socket.destroy();
    });
    socket.on('error', (error) => (heard === '' ? reject(error) : undefined));
    socket.on('close', () => resolve(heard));
    socket.write(text);
  });
}

function hold(): { promise: Promise<void>; release: () => void } {
  let release: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => (release = resolve));
  return { promise, release };
}

/** The pid of a process that has ended. */
function deadPid(): number {
  return spawnSync('true').pid;
}

describe('requests', () => {
  test('every method reaches the admin and brings its result', async () => {
    const { admin, server } = await served();
    const disk = { cookie: 5 };
    expect(await callProcess(server.path, 'list', {})).toEqual({ disks: admin.list() });
    expect(await callProcess(server.path, 'statistics', disk)).toEqual({
      reads: 1,
      nested: { latencyUs: [1, 2] },
    });
    for (const method of ['pause', 'resume', 'detach'] as const) {
      expect(await callProcess(server.path, method, disk)).toEqual({});
    }
    const size = { byBytes: 2 ** 30 };
    expect(await callProcess(server.path, 'resize', { ...disk, size })).toEqual({
      beforeBytes: 2 ** 30,
      sizeBytes: 2 ** 31,
      guestTold: true,
    });
    const trace = { path: '/tmp/trace', payload: 'full' as const };
    await callProcess(server.path, 'startRecording', { ...disk, ...trace });
    expect(await callProcess(server.path, 'stopRecording', disk)).toEqual({
      path: '/tmp/trace',
      requests: 17,
      endReason: 'stopped',
    });
    expect(admin.calls).toEqual([
      ['statistics', 5],
      ['pause', 5],
      ['resume', 5],
      ['detach', 5],
      ['resize', 5, size],
      ['startRecording', 5, trace],
      ['stopRecording', 5],
    ]);
  });

  test('a refusal comes back as the error it was', async () => {
    const { server } = await served();
    await expect(callProcess(server.path, 'pause', { cookie: 6 })).rejects.toMatchObject({
      code: 'DISK_NOT_FOUND',
      message: 'There is no disk with cookie 6.',
    });
  });

  test('why the pipes failed can be asked', async () => {
    const failures = new Failures();
    const { server } = await served({ failures });
    failures.record(7, new Error('because'));
    expect(await callProcess(server.path, 'failures', {})).toEqual({
      failures: [{ cookie: 7, code: 'INTERNAL', message: 'because' }],
    });
  });

  test('several on one connection are answered in order', async () => {
    const { server } = await served();
    const lines = [1, 2, 3].map((id) =>
      JSON.stringify({ version: 1, id, method: 'resume', params: { cookie: 4 + id } }),
    );
    const answers = (await talk(server.path, `${lines.join('\n')}\n`, 3)).trim().split('\n');
    expect(answers.map((line) => (JSON.parse(line) as { id: number }).id)).toEqual([1, 2, 3]);
  });

  test('one that takes too long is answered, and the next one is heard', async () => {
    const { server, admin } = await served({ requestTimeoutMs: 20 });
    const { promise, release } = hold();
    admin.held = promise;
    await expect(callProcess(server.path, 'pause', { cookie: 5 })).rejects.toMatchObject({
      code: 'CONTROL_TIMEOUT',
      transient: true,
    });
    await expect(callProcess(server.path, 'resume', { cookie: 5 })).resolves.toEqual({});
    release();
  });

  test('a server that closes still gives the answer it is working on', async () => {
    const { server, admin } = await served();
    const { promise, release } = hold();
    admin.held = promise;
    const answer = callProcess(server.path, 'pause', { cookie: 5 });
    while (admin.calls.length === 0) await new Promise(setImmediate);
    const closed = server.close();
    release();
    await expect(answer).resolves.toEqual({});
    await closed;
    expect(existsSync(server.path)).toBe(false);
  });
});

describe('bad input', () => {
  const one = (fields: object): string =>
    `${JSON.stringify({ version: 1, id: 9, method: 'pause', params: { cookie: 5 }, ...fields })}\n`;

  test.each([
    ['no JSON', 'hello\n', 'CONTROL_BAD_REQUEST', null],
    ['an empty line', '\n', 'CONTROL_BAD_REQUEST', null],
    ['null', 'null\n', 'CONTROL_BAD_REQUEST', null],
    ['no id', one({ id: undefined }), 'CONTROL_BAD_REQUEST', null],
    ['no such method', one({ method: 'explode' }), 'CONTROL_BAD_REQUEST', 9],
    ['an inherited name', one({ method: 'constructor' }), 'CONTROL_BAD_REQUEST', 9],
    ['a later version', one({ version: 2 }), 'CONTROL_VERSION_UNKNOWN', 9],
    ['no params', one({ params: undefined }), 'CONTROL_BAD_REQUEST', 9],
    ['a cookie beyond u16', one({ params: { cookie: 65536 } }), 'CONTROL_BAD_REQUEST', 9],
    ['more params', one({ params: { cookie: 5, x: 1 } }), 'CONTROL_BAD_REQUEST', 9],
    [
      'a relative trace',
      one({ method: 'startRecording', params: { cookie: 5, path: 'a', payload: 'hash' } }),
      'CONTROL_BAD_REQUEST',
      9,
    ],
    ...[{ toBytes: -512 }, { toBytes: 2 ** 53 }, { toBytes: 1, byBytes: 1 }, {}, 512].map(
      (size): [string, string, string, number] => [
        `a size of ${JSON.stringify(size)}`,
        one({ method: 'resize', params: { cookie: 5, size } }),
        'CONTROL_BAD_REQUEST',
        9,
      ],
    ),
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x0a]), 'CONTROL_BAD_REQUEST', null],
  ])('%s', async (_, text, refusal, id) => {
    const { server, admin } = await served();
    expect(JSON.parse(await talk(server.path, text))).toMatchObject({
      id,
      error: { code: refusal },
    });
    expect(admin.calls).toEqual([]);
    await expect(callProcess(server.path, 'pause', { cookie: 5 })).resolves.toEqual({});
  });

  test('a line without end is refused at the limit, and the connection closed', async () => {
    const { server } = await served();
    const heard = await talk(server.path, 'x'.repeat(SOCKET_LINE_BYTES_MAX + 1), 2);
    expect(JSON.parse(heard)).toMatchObject({ error: { code: 'CONTROL_LINE_TOO_LONG' } });
    await expect(callProcess(server.path, 'list', {})).resolves.toBeDefined();
  });

  test('a connection that sends no whole line is closed', async () => {
    const { server } = await served({ idleTimeoutMs: 30 });
    expect(await talk(server.path, '{"version":')).toBe('');
  });

  test('more connections than the limit are closed, and room is made again', async () => {
    const { server } = await served({ idleTimeoutMs: 60_000 });
    const open = Array.from({ length: SOCKET_CONNECTIONS_MAX }, () => net.connect(server.path));
    await Promise.all(
      open.map((socket) => new Promise((resolve) => socket.on('connect', resolve))),
    );
    await expect(callProcess(server.path, 'list', {})).rejects.toThrow(code('CONTROL_CLOSED'));
    open[0].destroy();
    for (;;) {
      const listed = await callProcess(server.path, 'list', {}).catch(() => null);
      if (listed !== null) break;
    }
    for (const socket of open) socket.destroy();
  });
});

describe('sockets and their files', () => {
  test('the socket is its user`s alone, and goes with the server', async () => {
    const { server, directory } = await served();
    expect(server.path).toBe(path.join(directory, `vbd-${process.pid}.sock`));
    expect(statSync(server.path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await server.close();
    expect(existsSync(server.path)).toBe(false);
  });

  test('the running are listed; dead sockets are passed over and removed', async () => {
    const { env, admin, server, directory } = await served();
    const ended = path.join(directory, `vbd-${deadPid()}.sock`);
    // A living pid with a socket file that nobody listens on: its number was given out again.
    const reused = path.join(directory, `vbd-${process.ppid}.sock`);
    const foreign = path.join(directory, 'vbd-x.sock');
    for (const file of [ended, reused, foreign]) writeFileSync(file, '');
    expect(await listRunning(env)).toEqual([
      { pid: process.pid, socketPath: server.path, disks: admin.list(), silence: null },
    ]);
    expect([ended, reused, foreign].map(existsSync)).toEqual([false, false, true]);
  });

  test('a new server removes what the dead left, its own name included', async () => {
    const { env, directory, server } = await served();
    await server.close();
    const ended = path.join(directory, `vbd-${deadPid()}.sock`);
    for (const file of [ended, server.path]) writeFileSync(file, '');
    const next = await SocketServer.listen({ admin: new FakeAdmin(), env });
    cleanups.push(() => next.close());
    expect(existsSync(ended)).toBe(false);
    await expect(callProcess(next.path, 'list', {})).resolves.toBeDefined();
  });

  test('a process that is there but silent is listed as that', async () => {
    const { env, directory } = await served();
    const socketPath = path.join(directory, `vbd-${process.ppid}.sock`);
    const mute = net.createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => mute.listen(socketPath, resolve));
    cleanups.push(() => void mute.close());
    const running = await listRunning(env, { answerTimeoutMs: 50 });
    const entry = running.find(({ pid }) => pid === process.ppid);
    expect(entry).toMatchObject({ disks: [], silence: expect.stringContaining('50 ms') as string });
    expect(running).toHaveLength(2);
  });

  test('nothing runs where there is no directory', async () => {
    const missing = path.join(temporaryDirectory(), 'missing');
    expect(await listRunning({ TAPDISK_TS_RUNTIME_DIR: missing })).toEqual([]);
    expect(existsSync(missing)).toBe(false);
  });

  test('a disk is found by its volume', async () => {
    const { env, admin, server } = await served();
    const found = { socketPath: server.path, disk: admin.list()[0] };
    expect(await findRunningDisk('main/disk1', undefined, env)).toEqual(found);
    expect(await findRunningDisk('main/disk1', process.pid, env)).toEqual(found);
    await expect(findRunningDisk('main/disk1', 1, env)).rejects.toThrow(code('DISK_NOT_FOUND'));
    await expect(findRunningDisk('main/other', undefined, env)).rejects.toThrow(
      code('DISK_NOT_FOUND'),
    );
  });

  test('of several processes with one volume the caller must choose', async () => {
    const admin = new FakeAdmin();
    const twice = { ...admin.list()[0], cookie: 6 };
    admin.list = () => [{ ...twice, cookie: 5 }, twice];
    const { env } = await served({ admin });
    await expect(findRunningDisk('main/disk1', undefined, env)).rejects.toThrow(
      code('DISK_AMBIGUOUS'),
    );
  });

  test('a dead socket, a missing one and one that may not be reached', async () => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'file');
    writeFileSync(file, '');
    for (const dead of [file, path.join(directory, 'missing')]) {
      await expect(callProcess(dead, 'list', {})).rejects.toThrow(code('CONTROL_SOCKET_DEAD'));
    }
    await expect(callProcess(path.join(file, 'below'), 'list', {})).rejects.toThrow(
      code('CONTROL_SOCKET_UNREACHABLE'),
    );
  });

  test.each([
    ['no JSON', 'hello\n', 'CONTROL_BAD_ANSWER'],
    ['another id', '{"version":1,"id":7,"result":{"disks":[]}}\n', 'CONTROL_BAD_ANSWER'],
    ['a wrong result', '{"version":1,"id":1,"result":{"disks":4}}\n', 'CONTROL_BAD_ANSWER'],
    ['a later version', '{"version":2,"id":1,"result":{"disks":[]}}\n', 'CONTROL_VERSION_UNKNOWN'],
    ['no end', 'x'.repeat(SOCKET_LINE_BYTES_MAX + 1), 'CONTROL_BAD_ANSWER'],
    ['nothing', '', 'CONTROL_CLOSED'],
  ])('an answer that is %s', async (_, answer, refusal) => {
    const socketPath = path.join(temporaryDirectory(), 'socket');
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    cleanups.push(() => void server.close());
    await expect(callProcess(socketPath, 'list', {})).rejects.toThrow(code(refusal));
  });

  test('a socket that cannot be made', async () => {
    const directory = temporaryDirectory();
    const env = { TAPDISK_TS_RUNTIME_DIR: directory };
    const first = await SocketServer.listen({ admin: new FakeAdmin(), env });
    await first.close();
    mkdirSync(first.path);
    await expect(SocketServer.listen({ admin: new FakeAdmin(), env })).rejects.toThrow(
      code('CONTROL_SOCKET_LISTEN'),
    );
  });
});
