/** `tapdisk-ts serve nbd` as a user starts it: a process, its output, its signals, its end. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../cli/captured-io';
import { NbdClient, requestBytes } from '../frontend/nbd/nbd-client';
import { type Ended, NbdProcesses } from './nbd-processes';

const MIB = 1 << 20;

jest.setTimeout(60_000);

let processes: NbdProcesses;
let directory: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  processes = await NbdProcesses.create();
  ({ directory, env } = processes);
});
afterEach(() => processes.end());

const command = (...words: string[]): Promise<Ended> => processes.command(...words);

interface Serving {
  readonly pid: number;
  readonly uris: readonly string[];
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Resolves when the process says that clients can connect. */
async function serve(...words: string[]): Promise<Serving> {
  const started = processes.start(...words);
  return { ...started, uris: await started.uris };
}

const clientOf = (path: string, name: string): Promise<NbdClient> =>
  NbdClient.go({ kind: 'unix', path }, { name });

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends it in order, and nothing is lost',
  async (signal) => {
    const path = join(directory, 'nbd.sock');
    const serving = await serve('main/a', 'main/b', '--listen', `unix:${path}`);
    expect(serving.uris).toEqual([
      `nbd+unix:///main/a?socket=${path}`,
      `nbd+unix:///main/b?socket=${path}`,
    ]);
    // For this user alone.
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const [a, b] = [await clientOf(path, 'main/a'), await clientOf(path, 'main/b')];
    await a.writeData(0, Buffer.alloc(MIB, 'a'));
    await b.writeData(15 * MIB, Buffer.alloc(MIB, 'b'));
    serving.kill(signal);
    expect(await serving.ended).toBe(0);
    await Promise.all([a.closed, b.closed]);

    const again = await serve('main/b', '--listen', 'tcp:127.0.0.1:0', '--read-only');
    const [, port] = /^nbd:\/\/127\.0\.0\.1:([0-9]+)\/main\/b$/.exec(again.uris[0]) ?? [];
    const client = await NbdClient.go({ kind: 'tcp', host: '127.0.0.1', port: Number(port) });
    expect((await client.readData(15 * MIB, MIB)).equals(Buffer.alloc(MIB, 'b'))).toBe(true);
    expect(await client.writeData(0, Buffer.alloc(512))).toBe(1);
    client.destroy();
    again.kill('SIGTERM');
    expect(await again.ended).toBe(0);
  },
);

test('it is listed, asked, paused and detached as any running disk', async () => {
  const serving = await serve('main/a', 'main/b');
  const listed = await command('list', '--running', '--json');
  expect(JSON.parse(listed.out)).toMatchObject([
    { volume: 'main/a', pid: serving.pid, device: serving.uris[0], state: 'running' },
    { volume: 'main/b', pid: serving.pid, device: serving.uris[1], state: 'running' },
  ]);
  const path = join(directory, 'run', `nbd-${serving.pid}.sock`);
  const client = await clientOf(path, 'main/a');
  await client.writeData(0, Buffer.alloc(4096, 1));
  const asked = await command('stats', 'main/a', '--json');
  expect(JSON.parse(asked.out)).toMatchObject({
    requests: { write: { requests: 1, sectors: 8 } },
    ring: { kind: 'nbd', connections: 1 },
  });

  expect((await command('pause', 'main/a')).exitCode).toBe(0);
  client.send(requestBytes({ command: 0, length: 4096 }));
  const reply = client.reply(() => 4096);
  const stopped = await Promise.race([reply, command('list', '--running', '--json')]);
  expect('out' in stopped && JSON.parse(stopped.out)).toMatchObject([{ state: 'paused' }, {}]);
  expect((await command('resume', 'main/a')).exitCode).toBe(0);
  expect((await reply).chunk?.data.equals(Buffer.alloc(4096, 1))).toBe(true);

  expect((await command('detach', 'main/a')).exitCode).toBe(0);
  await client.closed;
  expect((await command('detach', 'main/b')).exitCode).toBe(0);
  expect(await serving.ended).toBe(0);
});

test('what it cannot do is refused, and leaves nothing attached', async () => {
  const serving = await serve('main/a');
  const refusals: [words: string[], code: string][] = [
    [['main/a'], 'VOLUME_ATTACHED'],
    [['main/nothing'], 'VOLUME_NOT_FOUND'],
    [['main/b', 'main/b'], 'VOLUME_TWICE_INVALID'],
    [['main/b', '--listen', 'here'], 'NBD_LISTEN_INVALID'],
    [['main/b', '--listen', 'tcp:0.0.0.0:0'], 'NBD_TLS_REQUIRED'],
    [['main/b', '--tls-psk', join(directory, 'no')], 'NBD_TLS_UNUSABLE'],
    [['main/b', '--listen', `unix:${directory}`], 'NBD_LISTEN_BUSY'],
  ];
  for (const [words, code] of refusals) {
    const { err, exitCode } = await runCommand(['serve', 'nbd', '--json', ...words], { env });
    expect(JSON.parse(err)).toMatchObject({ error: { code } });
    expect(exitCode).toBeGreaterThan(0);
  }
  const b = await serve('main/b', '--listen', 'tcp:0.0.0.0:0', '--tls', 'off');
  expect(b.uris[0]).toMatch(/^nbd:\/\/0\.0\.0\.0:[0-9]+\/main\/b$/);
  b.kill('SIGTERM');
  expect(await b.ended).toBe(0);
  serving.kill('SIGKILL');
});

test('the volume of a killed server can be served again, with its data', async () => {
  const path = join(directory, 'nbd.sock');
  const first = await serve('main/a', '--listen', `unix:${path}`);
  const client = await clientOf(path, 'main/a');
  await client.writeData(4096, Buffer.alloc(4096, 'k'));
  await client.request({ command: 3 });
  first.kill('SIGKILL');
  await first.ended;
  const second = await serve('main/a', '--listen', `unix:${path}`);
  const other = await clientOf(path, 'main/a');
  expect((await other.readData(4096, 4096)).equals(Buffer.alloc(4096, 'k'))).toBe(true);
  other.destroy();
  second.kill('SIGTERM');
  expect(await second.ended).toBe(0);
});

test('a volume that grows has its new size for clients that come then', async () => {
  const path = join(directory, 'nbd.sock');
  const serving = await serve('main/a', '--listen', `unix:${path}`);
  const before = await clientOf(path, 'main/a');
  const { exitCode, out } = await command('resize', 'main/a', '+8M', '--json');
  expect({ exitCode, ...(JSON.parse(out) as object) }).toMatchObject({
    exitCode: 0,
    sizeBytes: 16 * MIB,
    pid: serving.pid,
    guestTold: false,
  });
  const after = await clientOf(path, 'main/a');
  await after.writeData(15 * MIB, Buffer.alloc(MIB, 'z'));
  expect((await after.readData(15 * MIB, MIB)).equals(Buffer.alloc(MIB, 'z'))).toBe(true);
  await before.writeData(0, Buffer.alloc(4096, 1));
  serving.kill('SIGTERM');
  expect(await serving.ended).toBe(0);
});
