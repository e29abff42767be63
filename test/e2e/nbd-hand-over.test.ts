/** An export goes from one `serve nbd` process to another, under load, and nothing of it is lost. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod/v3';
import { runCommand } from '../cli/captured-io';
import { infoQuery, NbdClient, OPT, REP } from '../frontend/nbd/nbd-client';
import { NbdProcesses, type Serving } from './nbd-processes';

const VOLUME = 'main/a';
const BLOCK_BYTES = 4096;
const WRITERS = 8;
/** Blocks of each writer: its own, so that the last one acknowledged is what lies there. */
const BLOCKS = 64;
const HAND_OVERS = 3;

jest.setTimeout(120_000);

let processes: NbdProcesses;
let path: string;
let isOver: boolean;

beforeEach(async () => {
  processes = await NbdProcesses.create();
  path = join(processes.directory, 'nbd.sock');
  isOver = false;
});
afterEach(() => {
  isOver = true;
  processes.end();
});

const listed = z.array(z.object({ pid: z.number(), state: z.string(), volume: z.string() }));

async function until(isTrue: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`it never came to that: ${what}`);
    await sleep(10);
  }
}

async function stateOf(pid: number): Promise<string | undefined> {
  const { out } = await processes.command('list', '--running', '--json');
  return listed.parse(JSON.parse(out)).find((disk) => disk.pid === pid)?.state;
}

async function standBy(...words: string[]): Promise<Serving> {
  const standby = processes.start(VOLUME, '--wait', ...words);
  await until(async () => (await stateOf(standby.pid)) === 'standby', 'a standby is listed');
  return standby;
}

/** As a kernel's NBD client with its reconnect: what was not answered is sent again. */
class Writer {
  /** By block, the value of the last write that was acknowledged. */
  readonly acknowledged = new Map<number, number>();
  count = 0;
  reconnects = -1;
  failure: unknown = null;

  constructor(private readonly index: number) {}

  offsetOf(block: number): number {
    return (this.index * BLOCKS + block) * BLOCK_BYTES;
  }

  async run(): Promise<void> {
    let client: NbdClient | null = null;
    while (!isOver) {
      const block = this.count % BLOCKS;
      const value = 1 + (this.count % 250);
      client ??= await this.connect();
      if (client === null) continue;
      const ended = client.closed.then(() => null);
      const bytes = Buffer.alloc(BLOCK_BYTES, value);
      const error = await Promise.race([client.writeData(this.offsetOf(block), bytes), ended]);
      if (error === null) {
        client = null;
        continue;
      }
      if (error !== 0) throw new Error(`write ${this.count} was answered with error ${error}`);
      this.acknowledged.set(block, value);
      this.count++;
    }
    client?.destroy();
  }

  private async connect(): Promise<NbdClient | null> {
    try {
      const client = await NbdClient.go({ kind: 'unix', path }, { name: VOLUME });
      this.reconnects++;
      return client;
    } catch {
      await sleep(5);
      return null;
    }
  }
}

class Load {
  readonly writers = Array.from({ length: WRITERS }, (_, index) => new Writer(index));
  private readonly running = this.writers.map((writer) =>
    writer.run().catch((error: unknown) => (writer.failure = error)),
  );

  /** Every writer has so many more writes acknowledged from now on. */
  async goesOn(writes = 20): Promise<void> {
    const before = this.writers.map(({ count }) => count);
    await until(
      () => this.writers.every((one, i) => one.failure !== null || one.count >= before[i] + writes),
      'every writer goes on',
    );
    expect(this.writers.map(({ failure }) => failure)).toEqual(this.writers.map(() => null));
  }

  async verify(): Promise<void> {
    isOver = true;
    await Promise.all(this.running);
    const client = await NbdClient.go({ kind: 'unix', path }, { name: VOLUME });
    for (const writer of this.writers) {
      for (const [block, value] of writer.acknowledged) {
        const bytes = await client.readData(writer.offsetOf(block), BLOCK_BYTES);
        expect(bytes.equals(Buffer.alloc(BLOCK_BYTES, value))).toBe(true);
      }
    }
    client.destroy();
  }
}

test('again and again, under load, at the same address', async () => {
  let serving = processes.start(VOLUME, '--listen', `unix:${path}`);
  await serving.uris;
  const load = new Load();
  await load.goesOn();
  for (let i = 0; i < HAND_OVERS; i++) {
    const heir = await standBy('--listen', `unix:${path}`);
    const { out, err, exitCode } = await processes.command(
      'handover',
      VOLUME,
      '--pid',
      String(serving.pid),
      '--json',
    );
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    expect((JSON.parse(out) as { to: string }).to.endsWith(`:${heir.pid}`)).toBe(true);
    expect(await serving.ended).toBe(0);
    expect(await heir.uris).toEqual([`nbd+unix:///${VOLUME}?socket=${path}`]);
    await load.goesOn();
    expect(await stateOf(heir.pid)).toBe('running');
    serving = heir;
  }
  for (const { reconnects } of load.writers) expect(reconnects).toBe(HAND_OVERS);
  await load.verify();
  serving.kill('SIGTERM');
  expect(await serving.ended).toBe(0);
});

test('a standby serves what a killed process served', async () => {
  const owner = processes.start(VOLUME, '--listen', `unix:${path}`);
  await owner.uris;
  const load = new Load();
  const heir = await standBy('--listen', `unix:${path}`);
  await load.goesOn();
  owner.kill('SIGKILL');
  await heir.uris;
  await load.goesOn();
  await load.verify();
});

test('one of two exports is handed over, and the other is served on', async () => {
  const owner = processes.start(VOLUME, 'main/b', '--listen', `unix:${path}`);
  await owner.uris;
  const other = await NbdClient.go({ kind: 'unix', path }, { name: 'main/b' });
  const elsewhere = join(processes.directory, 'other.sock');
  const heir = await standBy('--listen', `unix:${elsewhere}`);
  const handed = await processes.command('handover', VOLUME, '--pid', String(owner.pid), '--json');
  expect(handed.exitCode).toBe(0);
  expect(await heir.uris).toEqual([`nbd+unix:///${VOLUME}?socket=${elsewhere}`]);
  expect(await other.writeData(0, Buffer.alloc(BLOCK_BYTES, 1))).toBe(0);
  const asking = await NbdClient.connect({ kind: 'unix', path });
  await asking.greet();
  const [answer] = await asking.option(OPT.GO, infoQuery(VOLUME, []));
  expect(answer.type).toBe(REP.ERR_UNKNOWN);
  asking.destroy();
  const client = await NbdClient.go({ kind: 'unix', path: elsewhere }, { name: VOLUME });
  expect(await client.writeData(0, Buffer.alloc(BLOCK_BYTES, 2))).toBe(0);
  for (const one of [client, other]) one.destroy();
});

test('a standby is asked for nothing, and ends when it is detached or interrupted', async () => {
  const owner = processes.start(VOLUME, '--listen', `unix:${path}`);
  await owner.uris;
  const [first, second] = [await standBy(), await standBy()];
  const refused = await processes.command('pause', VOLUME, '--pid', String(first.pid), '--json');
  expect(JSON.parse(refused.err)).toMatchObject({ error: { code: 'DISK_STANDBY' } });
  const detached = await processes.command('detach', VOLUME, '--pid', String(first.pid));
  expect(detached.exitCode).toBe(0);
  expect(await first.ended).toBe(0);
  second.kill('SIGTERM');
  expect(await second.ended).toBe(0);
  expect(await stateOf(owner.pid)).toBe('running');
});

test('what could not be served later is refused before anything is waited for', async () => {
  const { env } = processes;
  const refusals: [words: string[], code: string][] = [
    [[VOLUME, '--wait', '--listen', 'tcp:0.0.0.0:0'], 'NBD_TLS_REQUIRED'],
    [[VOLUME, '--wait', '--read-only'], 'USAGE'],
    [['main/nothing', '--wait'], 'VOLUME_NOT_FOUND'],
  ];
  for (const [words, code] of refusals) {
    const { err, exitCode } = await runCommand(['serve', 'nbd', '--json', ...words], { env });
    expect(JSON.parse(err)).toMatchObject({ error: { code } });
    expect(exitCode).toBeGreaterThan(0);
  }
});
