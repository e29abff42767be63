/** Members of a real etcd cluster, each in a network namespace of its own, to be killed, frozen and cut off. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod/v3';
import type { Namespace } from './namespaces';
import { kill, until } from './processes';
import { run } from './run-command';

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const STATUS_DEADLINE_MS = 2_000;

const statusSchema = z.array(
  z.object({
    Endpoint: z.string(),
    Status: z.object({
      header: z.object({ member_id: z.number() }),
      leader: z.number().optional(),
      dbSize: z.number(),
    }),
  }),
);

/** One member; it may be started again after its death, and has its data then. */
export class Member {
  pid = 0;

  constructor(
    readonly name: string,
    readonly namespace: Namespace,
    private readonly directory: string,
    private readonly initialCluster: string,
  ) {}

  get endpoint(): string {
    return `http://${this.namespace.address}:${CLIENT_PORT}`;
  }

  start(): void {
    const { address } = this.namespace;
    const [client, peer] = [`http://${address}:${CLIENT_PORT}`, peerUrl(this.namespace)];
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const log = openSync(join(this.directory, 'log'), 'a');
    const words = this.namespace.inside([
      ...['etcd', '--name', this.name, '--data-dir', join(this.directory, 'data')],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', this.initialCluster, '--initial-cluster-state', 'new'],
      ...['--initial-cluster-token', 'tapdisk-ts-test', '--logger', 'zap'],
    ]);
    const child = spawn(words[0], words.slice(1), { stdio: ['ignore', log, log] });
    closeSync(log);
    child.unref();
    this.pid = child.pid ?? 0;
  }

  async kill(): Promise<void> {
    await kill(this.pid);
  }

  freeze(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT');
  }
}

/** Three members; what asks them does so from the bridge's namespace. */
export class Members {
  private constructor(
    readonly all: readonly Member[],
    private readonly asking: Namespace,
  ) {}

  /** Resolves when they have a leader. */
  static async start(
    namespaces: readonly Namespace[],
    asking: Namespace,
    directory: string,
  ): Promise<Members> {
    const names = namespaces.map((_, index) => `m${index + 1}`);
    const initial = names.map((name, index) => `${name}=${peerUrl(namespaces[index])}`).join(',');
    const members = new Members(
      names.map(
        (name, index) => new Member(name, namespaces[index], join(directory, name), initial),
      ),
      asking,
    );
    for (const member of members.all) member.start();
    await members.untilQuorum();
    return members;
  }

  get endpoints(): string {
    return this.all.map(({ endpoint }) => endpoint).join(',');
  }

  /** Resolves when a linearizable read succeeds. */
  async untilQuorum(): Promise<void> {
    await until('the cluster has a quorum', () => this.serves(this.endpoints));
  }

  /** Resolves when each member answers a linearizable read. */
  async untilAllServe(): Promise<void> {
    for (const { name, endpoint } of this.all) {
      await until(`${name} serves`, () => this.serves(endpoint));
    }
  }

  private async serves(endpoints: string): Promise<boolean> {
    return (await this.etcdctl(endpoints, 'get', 'no-such-key')).code === 0;
  }

  async leader(): Promise<Member> {
    const found = await this.findLeader();
    if (found === undefined) throw new Error('the cluster has no leader');
    return found;
  }

  async follower(): Promise<Member> {
    const leader = await this.leader();
    return this.all.find((member) => member !== leader) ?? leader;
  }

  /** Size of each member's database, by its name. */
  async databaseBytes(): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for (const { Endpoint, Status } of await this.statuses()) {
      sizes.set(this.byEndpoint(Endpoint).name, Status.dbSize);
    }
    return sizes;
  }

  private async findLeader(): Promise<Member | undefined> {
    for (const { Endpoint, Status } of await this.statuses()) {
      if (Status.header.member_id === Status.leader) return this.byEndpoint(Endpoint);
    }
    return undefined;
  }

  private async statuses(): Promise<z.infer<typeof statusSchema>> {
    const { stdout } = await this.etcdctl(this.endpoints, 'endpoint', 'status', '-w', 'json');
    return statusSchema.parse(JSON.parse(stdout || '[]'));
  }

  private byEndpoint(endpoint: string): Member {
    const member = this.all.find((one) => one.endpoint === endpoint);
    if (member === undefined) throw new Error(`${endpoint} is no member of ours`);
    return member;
  }

  private etcdctl(endpoints: string, ...words: string[]): ReturnType<typeof run> {
    const limits = [`--command-timeout=${STATUS_DEADLINE_MS}ms`, '--dial-timeout=1s'];
    return run(this.asking.inside(['etcdctl', `--endpoints=${endpoints}`, ...limits, ...words]), {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
  }
}

function peerUrl({ address }: Namespace): string {
  return `http://${address}:${PEER_PORT}`;
}
