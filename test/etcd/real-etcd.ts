/**
 * A real etcd cluster of a test's own: members on loopback, in a temporary directory, that can be
 * killed, frozen and started again. Everything is gone when the process ends.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod/v3';
import type { KeyPair } from './certificates';
import { temporaryDirectory } from './temporary-directory';

/** What the tests of this folder need; empty where all is there. */
export function missingPrograms(): string[] {
  return ['etcd', 'etcdctl', 'openssl'].filter(
    (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
  );
}

export interface RealEtcdSetting {
  readonly members?: number;
  /** Bytes; etcd's default is 2 GiB. */
  readonly quotaBytes?: number;
  /** Certificates of the members; clients then need one of `clientCaFile`'s. */
  readonly tls?: {
    readonly caFile: string;
    readonly certificateOf: (index: number) => KeyPair;
    readonly client: KeyPair;
  };
  /** Where members listen; 127.0.0.1 without it. */
  readonly host?: string;
  /** Words before the command of each member, such as `ip netns exec NAME`. */
  readonly commandPrefix?: readonly string[];
}

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 50;

/** Heart beats and elections as etcd's own defaults have them. */
const TIMING = ['--heartbeat-interval=100', '--election-timeout=1000'];

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Ports that were free a moment ago. */
async function freePorts(count: number, host: string): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, host));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

export class RealMember {
  private child: ChildProcess | null = null;

  constructor(
    readonly name: string,
    readonly clientUrl: string,
    readonly logFile: string,
    readonly dataDirectory: string,
    private readonly command: readonly string[],
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts it, also again with the data that it has. */
  start(): void {
    const log = openSync(this.logFile, 'a');
    const [program, ...words] = this.command;
    const child = spawn(program, words, { stdio: ['ignore', log, log] });
    closeSync(log);
    // A test that forgets its cluster ends all the same, and the cluster with it.
    child.unref();
    running.add(child);
    child.once('exit', () => {
      running.delete(child);
      if (this.child === child) this.child = null;
    });
    this.child = child;
  }

  /** kill -9; resolves when it is dead. */
  async kill(): Promise<void> {
    const child = this.child;
    if (child === null) return;
    // Whoever waits for it has perhaps nothing else that keeps the process going.
    child.ref();
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }
}

const statusSchema = z.array(
  z.object({
    Endpoint: z.string(),
    Status: z.object({
      header: z.object({ member_id: z.number() }),
      leader: z.number(),
      dbSize: z.number(),
    }),
  }),
);

export class RealEtcd {
  private constructor(
    readonly directory: string,
    readonly members: readonly RealMember[],
    private readonly setting: RealEtcdSetting,
  ) {}

  /** Resolves when the cluster serves. */
  static async start(setting: RealEtcdSetting = {}): Promise<RealEtcd> {
    const directory = temporaryDirectory();
    const cluster = new RealEtcd(directory, await makeMembers(directory, setting), setting);
    for (const member of cluster.members) member.start();
    await cluster.ready();
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map(({ clientUrl }) => clientUrl);
  }

  /** Runs etcdctl against all members; resolves to what it prints. */
  async etcdctl(...words: string[]): Promise<string> {
    const { tls } = this.setting;
    const secure =
      tls === undefined
        ? []
        : [
            `--cacert=${tls.caFile}`,
            `--cert=${tls.client.certFile}`,
            `--key=${tls.client.keyFile}`,
          ];
    const { stdout } = await promisify(execFile)(
      'etcdctl',
      [`--endpoints=${this.endpoints.join(',')}`, ...secure, ...words],
      { env: { ...process.env, ETCDCTL_API: '3' } },
    );
    return stdout;
  }

  /** Of the members that answer. */
  private async statuses(): Promise<z.infer<typeof statusSchema>> {
    const words = ['endpoint', 'status', '-w', 'json', '--command-timeout=2s'];
    try {
      return statusSchema.parse(JSON.parse(await this.etcdctl(...words)));
    } catch (error) {
      // etcdctl fails where one member does not answer, and still prints the others.
      const { stdout } = error as { stdout?: string };
      if (!stdout) throw error;
      return statusSchema.parse(JSON.parse(stdout));
    }
  }

  async leader(): Promise<RealMember> {
    const endMs = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const found = (await this.statuses()).find(
        ({ Status: { header, leader } }) => header.member_id === leader,
      );
      const member = this.members.find(({ clientUrl }) => clientUrl === found?.Endpoint);
      if (member !== undefined) return member;
      if (Date.now() > endMs) throw new Error('the cluster has no leader');
      await sleep(POLL_MS);
    }
  }

  async followers(): Promise<RealMember[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** Resolves when the cluster answers a linearizable read. */
  async ready(): Promise<void> {
    const endMs = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      try {
        await this.etcdctl('get', 'ready', '--command-timeout=2s');
        return;
      } catch (error) {
        if (Date.now() > endMs) {
          const log = readFileSync(this.members[0].logFile, 'utf8').slice(-2_000);
          throw new Error(`etcd did not start: ${String(error)}\n${log}`);
        }
        await sleep(POLL_MS);
      }
    }
  }

  /** Turns on users: root and `name`, who may read and write below `prefix`. */
  async addUser(name: string, password: string, prefix: string): Promise<void> {
    await this.etcdctl('user', 'add', 'root:root');
    await this.etcdctl('user', 'grant-role', 'root', 'root');
    await this.etcdctl('role', 'add', name);
    await this.etcdctl('role', 'grant-permission', '--prefix', name, 'readwrite', prefix);
    await this.etcdctl('user', 'add', `${name}:${password}`);
    await this.etcdctl('user', 'grant-role', name, name);
    await this.etcdctl('auth', 'enable');
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function makeMembers(directory: string, setting: RealEtcdSetting): Promise<RealMember[]> {
  const { members: count = 1, host = '127.0.0.1', commandPrefix = [], quotaBytes, tls } = setting;
  const ports = await freePorts(2 * count, commandPrefix.length === 0 ? host : '127.0.0.1');
  const scheme = tls === undefined ? 'http' : 'https';
  const peerUrl = (index: number): string => `http://${host}:${ports[count + index]}`;
  const names = Array.from({ length: count }, (_, index) => `member${index + 1}`);
  const initial = names.map((name, index) => `${name}=${peerUrl(index)}`).join(',');
  mkdirSync(directory, { recursive: true });
  return names.map((name, index) => {
    const clientUrl = `${scheme}://${host}:${ports[index]}`;
    const data = join(directory, name);
    const pair = tls?.certificateOf(index);
    const secure =
      tls === undefined || pair === undefined
        ? []
        : [
            `--trusted-ca-file=${tls.caFile}`,
            `--cert-file=${pair.certFile}`,
            `--key-file=${pair.keyFile}`,
            '--client-cert-auth',
          ];
    return new RealMember(name, clientUrl, join(directory, `${name}.log`), data, [
      ...commandPrefix,
      'etcd',
      `--name=${name}`,
      `--data-dir=${data}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl(index)}`,
      `--initial-advertise-peer-urls=${peerUrl(index)}`,
      `--initial-cluster=${initial}`,
      '--logger=zap',
      ...TIMING,
      ...(quotaBytes === undefined ? [] : [`--quota-backend-bytes=${quotaBytes}`]),
      ...secure,
    ]);
  });
}
