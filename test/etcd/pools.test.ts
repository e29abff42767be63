/**
 * Pools of several hosts as people use them, on a real cluster: two "hosts" of one machine, which
 * differ in their name, their configuration and their runtime directory.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { runCommand, type CommandRun } from '../cli/captured-io';
import { CrashLoad } from '../crash/crash-load';
import { Random } from '../crash/random';
import { RealEtcd } from './real-etcd';
import { whereRealEtcd } from './require-real';
import { temporaryDirectory } from './temporary-directory';

jest.setTimeout(180_000);

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const SECTOR_BYTES = 512;
const DISK_BYTES = 8 * 2 ** 20;
const LEASE_TTL_S = 2;
const OUTAGE_MS = 15_000;
const HAND_OVERS = 20;
const VOLUME = 'main/disk';

interface Disk {
  readonly pid: number;
  readonly device: string;
  readonly state: string;
}

class Host {
  private readonly env: Readonly<Record<string, string>>;

  constructor(
    readonly name: string,
    readonly directory: string,
  ) {
    this.env = {
      PATH: process.env.PATH ?? '',
      TAPDISK_TS_HOST: name,
      TAPDISK_TS_CONFIG_DIR: join(directory, name, 'config'),
      TAPDISK_TS_RUNTIME_DIR: join(directory, name, 'run'),
    };
  }

  run(...words: string[]): Promise<CommandRun> {
    return runCommand(words, { env: this.env });
  }

  /** Of a command that succeeds. */
  async json<Result>(...words: string[]): Promise<Result> {
    const { exitCode, out, err } = await this.run(...words, '--json');
    expect({ words, exitCode, err }).toEqual({ words, exitCode: 0, err: '' });
    return JSON.parse(out) as Result;
  }

  /** The code of a command that is refused. */
  async refused(...words: string[]): Promise<{ code: string; message: string }> {
    const { exitCode, err } = await this.run(...words, '--json');
    expect(exitCode).not.toBe(0);
    return (JSON.parse(err) as { error: { code: string; message: string } }).error;
  }

  async running(pid: number): Promise<{ state: string; reason: string | null } | undefined> {
    const disks = await this.json<(Disk & { reason: string | null })[]>('list', '--running');
    return disks.find((disk) => disk.pid === pid);
  }

  async becomes(pid: number, state: string, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const disk = await this.running(pid);
      if (disk?.state === state) return;
      if (performance.now() > deadline) throw new Error(`${pid} is ${JSON.stringify(disk)}`);
      await sleep(20);
    }
  }

  log(): string {
    const path = join(this.env.TAPDISK_TS_RUNTIME_DIR, 'main.disk.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

whereRealEtcd(`a pool of two hosts (SEED=${SEED})`, () => {
  let etcd: RealEtcd;
  let directory: string;
  let a: Host;
  let b: Host;
  let etcdWords: string[];
  let load: CrashLoad | null = null;
  const pids = new Set<number>();

  beforeAll(async () => {
    etcd = await RealEtcd.start({ members: 3 });
    directory = temporaryDirectory();
    [a, b] = [new Host('a', directory), new Host('b', directory)];
    mkdirSync(join(directory, 'rings'));
    etcdWords = ['--etcd', etcd.endpoints.join(',')];
    await a.json(
      'pool',
      'create',
      'main',
      '--path',
      join(directory, 'chunks'),
      ...times(),
      ...etcdWords,
    );
    await b.json(
      'pool',
      'join',
      'main',
      '--path',
      join(directory, 'chunks'),
      ...times(),
      ...etcdWords,
    );
  });
  beforeEach(async () => {
    await a.json('create', VOLUME, '--size', '8M', '--chunk-size', '64K');
  });
  afterEach(async () => {
    load?.close();
    load = null;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGCONT');
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    pids.clear();
    await deleted(b);
  });
  afterAll(() => etcd.stop());

  function times(): string[] {
    return ['--lease-ttl', String(LEASE_TTL_S), '--take-over-wait', '0.2'];
  }

  /** Retried while the lease of a killed process of the other host lasts. */
  async function deleted(host: Host): Promise<void> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const { exitCode, err } = await host.run('delete', VOLUME, '--yes');
      if (exitCode === 0 || err.includes('there is no volume')) return;
      if (performance.now() > deadline) throw new Error(err);
      await sleep(100);
    }
  }

  async function attach(host: Host, device: string | null, ...words: string[]): Promise<Disk> {
    const place = device ?? `shm:${join(directory, 'rings')}`;
    const disk = await host.json<Disk>('attach', VOLUME, '--device', place, ...words);
    pids.add(disk.pid);
    return disk;
  }

  /** `grownBytes`: as large as the disk may become. */
  async function startLoad(device: string, grownBytes = DISK_BYTES): Promise<CrashLoad> {
    const sectors = grownBytes / SECTOR_BYTES;
    const hash = await loadPayloadHash();
    const model = new DiskModel({
      sectors,
      seed: SEED,
      expectZero: true,
      survives: 'acknowledged',
      hash,
    });
    load = new CrashLoad(model, new Random(SEED), 8);
    await load.open(device.slice('shm:'.length));
    load.start();
    return load;
  }

  async function answers(running: CrashLoad, count: number, timeoutMs = 30_000): Promise<void> {
    const [from, deadline] = [running.answered, performance.now() + timeoutMs];
    while (running.answered < from + count) {
      if (performance.now() > deadline) throw new Error(`stuck at ${running.answered} answers`);
      await sleep(5);
    }
  }

  async function verified(running: CrashLoad): Promise<void> {
    await running.quiesce();
    await running.verifyAll();
    const { failures, mismatches } = running;
    expect({ failures, mismatches }).toEqual({ failures: 0, mismatches: [] });
  }

  test('is made once, joined by others, and told apart from other pools', async () => {
    const path = join(directory, 'chunks');
    expect(
      await b.refused(
        'pool',
        'create',
        'again',
        '--path',
        join(directory, 'x'),
        '--etcd-prefix',
        '/tapdisk-ts/main/',
        ...etcdWords,
      ),
    ).toMatchObject({ code: 'CLUSTER_POOL_EXISTS' });
    expect(await b.refused('pool', 'join', 'nix', '--path', path, ...etcdWords)).toMatchObject({
      code: 'CLUSTER_POOL_NOT_FOUND',
    });
    expect(
      await b.refused('pool', 'join', 'again', '--etcd-prefix', '/tapdisk-ts/main/', ...etcdWords),
    ).toMatchObject({ code: 'STORE_PATH_INVALID' });
    await a.json('pool', 'create', 'other', '--path', join(directory, 'other'), ...etcdWords);
    expect(await b.refused('pool', 'join', 'other', '--path', path, ...etcdWords)).toMatchObject({
      code: 'POOL_MISMATCH',
    });
    await a.json('pool', 'delete', 'other');
    expect(existsSync(join(directory, 'other'))).toBe(false);
    expect(await b.refused('pool', 'join', 'other', '--path', path, ...etcdWords)).toMatchObject({
      code: 'CLUSTER_POOL_NOT_FOUND',
    });
    expect(await b.refused('pool', 'delete', 'main')).toMatchObject({ code: 'POOL_NOT_EMPTY' });
    expect(await b.json('list', 'main')).toMatchObject([{ name: 'disk', owner: null }]);
  });

  test('one host has the volume, the other is told who; status and doctor see it', async () => {
    const disk = await attach(a, null);
    const refused = await b.refused(
      'attach',
      VOLUME,
      '--device',
      `shm:${join(directory, 'rings')}`,
    );
    expect(refused.code).toBe('VOLUME_ATTACHED');
    expect(refused.message).toContain(`process ${disk.pid} on host a`);
    const standby = await attach(b, disk.device, '--wait');
    const status = await b.json<Record<string, unknown>>('pool', 'status', 'main');
    expect(status).toMatchObject({
      cluster: { quorum: true, alarms: [], prefix: '/tapdisk-ts/main/' },
      owners: [{ volume: 'disk', host: 'a', pid: disk.pid, epoch: 1 }],
      standbys: [{ volume: 'disk', host: 'b', pid: standby.pid }],
      failures: [],
    });
    expect((await b.run('pool', 'status', 'main')).out).toMatch(/disk +owner +a +[0-9]+ +1 /);
    const { exitCode, out } = await b.run('doctor', '--pool', 'main');
    expect({ exitCode, out }).toMatchObject({ exitCode: 0 });
    expect(out.match(/ ok /g)!.length).toBeGreaterThanOrEqual(10);
    await b.json('detach', VOLUME, '--pid', String(standby.pid));
    await a.json('detach', VOLUME);
  });

  test(`${HAND_OVERS} hand-overs between the hosts, under load`, async () => {
    let [here, there] = [a, b];
    let disk = await attach(here, null);
    const running = await startLoad(disk.device);
    const blackouts: number[] = [];
    for (let i = 0; i < HAND_OVERS; i++) {
      const standby = await attach(there, disk.device, '--wait');
      await answers(running, 50);
      const handed = await here.json<{ to: string; blackoutMs: number }>('handover', VOLUME);
      expect(handed.to).toBe(`${there.name}:${standby.pid}`);
      blackouts.push(handed.blackoutMs);
      await answers(running, 50);
      [here, there, disk] = [there, here, standby];
    }
    await verified(running);
    expect(await here.running(disk.pid)).toMatchObject({ state: 'running' });
    blackouts.sort((x, y) => x - y);
    console.log(
      `blackout of the old side: p50 ${blackouts[HAND_OVERS / 2]} ms, max ${blackouts.at(-1)} ms`,
    );
    await here.json('detach', VOLUME);
  });

  test('grows under load where it is served, and a standby serves all of it', async () => {
    const grownBytes = 72 * 2 ** 20;
    const disk = await attach(a, null);
    const running = await startLoad(disk.device, grownBytes);
    const standby = await attach(b, disk.device, '--wait');
    await answers(running, 50);
    expect(await b.refused('resize', VOLUME, '+1M')).toMatchObject({
      code: 'RESIZE_ELSEWHERE',
      message: expect.stringContaining(`process ${disk.pid} on host a`) as string,
    });
    expect(await a.json('resize', VOLUME, '+64M')).toMatchObject({
      sizeBytes: grownBytes,
      pid: disk.pid,
      guestTold: true,
    });
    expect(await b.json('info', VOLUME)).toMatchObject({ sizeBytes: grownBytes, chunks: 1152 });
    await answers(running, 100);
    await a.json('handover', VOLUME);
    await answers(running, 100);
    process.kill(standby.pid, 'SIGKILL');
    const last = await attach(b, disk.device);
    await answers(running, 50);
    await verified(running);
    expect(running.sectors * SECTOR_BYTES).toBe(grownBytes);
    expect(await b.running(last.pid)).toMatchObject({ state: 'running' });
    await b.json('detach', VOLUME);
    await a.json('resize', VOLUME, '8M', '--allow-shrink');
    expect(await b.json('info', VOLUME)).toMatchObject({ sizeBytes: DISK_BYTES, chunks: 128 });
  });

  test('a standby of another host takes the volume of a process that was killed', async () => {
    const disk = await attach(a, null);
    const running = await startLoad(disk.device);
    const standby = await attach(b, disk.device, '--wait');
    await answers(running, 200);
    process.kill(disk.pid, 'SIGKILL');
    const killedAtMs = performance.now();
    await b.becomes(standby.pid, 'running');
    console.log(`taken over ${Math.round(performance.now() - killedAtMs)} ms after kill -9`);
    await answers(running, 200);
    await verified(running);
  });

  test('a frozen owner is stolen from, and knows so when it goes on', async () => {
    const disk = await attach(a, null);
    process.kill(disk.pid, 'SIGSTOP');
    const stolen = await attach(b, null, '--steal');
    expect(stolen.state).toBe('running');
    process.kill(disk.pid, 'SIGCONT');
    await a.becomes(disk.pid, 'lost');
    expect((await b.json<{ owners: Disk[] }>('pool', 'status', 'main')).owners).toMatchObject([
      { host: 'b', pid: stolen.pid, epoch: 2 },
    ]);
    await a.json('detach', VOLUME);
    await b.json('detach', VOLUME);
  });

  test(`etcd away for ${OUTAGE_MS / 1000} s: the guest waits, and nothing fails`, async () => {
    const disk = await attach(a, null);
    const running = await startLoad(disk.device);
    await answers(running, 200);
    for (const member of etcd.members) await member.kill();
    await sleep(OUTAGE_MS);
    expect(await a.running(disk.pid)).toMatchObject({ state: 'stalled' });
    const { exitCode, out } = await b.run('pool', 'status', 'main');
    expect(exitCode).toBe(1);
    expect(out).toMatch(/quorum +NO/);
    for (const member of etcd.members) member.start();
    await etcd.ready();
    const readyAtMs = performance.now();
    await answers(running, 1);
    console.log(`answers again ${Math.round(performance.now() - readyAtMs)} ms after the quorum`);
    await answers(running, 200);
    await verified(running);
    expect(a.log()).toContain('VOLUME_RESUMED');
    await a.json('detach', VOLUME);
  });

  test('small volumes lie in etcd itself', async () => {
    await a.json('pool', 'create', 'small', '--store', 'etcd', ...etcdWords);
    await b.json('pool', 'join', 'small', ...etcdWords);
    expect(await a.refused('create', 'small/large', '--size', '1T')).toMatchObject({
      code: 'VOLUME_TOO_LARGE_FOR_STORE',
    });
    expect(await a.json('create', 'small/disk', '--size', '8M')).toMatchObject({
      chunkBytes: 65536,
    });
    const place = `shm:${join(directory, 'rings')}`;
    const disk = await a.json<Disk>('attach', 'small/disk', '--device', place);
    pids.add(disk.pid);
    const running = await startLoad(disk.device, DISK_BYTES + 2 * 2 ** 20);
    const standby = await b.json<Disk>('attach', 'small/disk', '--device', disk.device, '--wait');
    pids.add(standby.pid);
    await answers(running, 100);
    expect(await a.refused('resize', 'small/disk', '1T')).toMatchObject({
      code: 'VOLUME_TOO_LARGE_FOR_STORE',
    });
    await a.json('resize', 'small/disk', '+2M');
    await answers(running, 100);
    await a.json('handover', 'small/disk');
    await answers(running, 100);
    await verified(running);
    await b.json('detach', 'small/disk');
    await b.json('pool', 'delete', 'small', '--force', '--yes');
    await a.json('pool', 'delete', 'small', '--forget');
  });
});
