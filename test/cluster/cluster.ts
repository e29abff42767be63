/** Three etcd members and three hosts, each in a network of its own, and a directory that all share. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilUndone } from '../bench/left-behind';
import { Host } from './host';
import { Members } from './members';
import { type Namespace, Network, removeLeftOvers } from './namespaces';
import { isAlive } from './processes';

const MEMBERS = 3;
const HOSTS = 3;
const FIRST_HOST_ADDRESS = 1;
const FIRST_MEMBER_ADDRESS = 11;
const MEMORY_DIRECTORY = '/dev/shm';
const PREFIX = 'tapdisk-ts-cluster-';

/** A host and how to cut it off. */
export interface NetworkedHost {
  readonly host: Host;
  readonly namespace: Namespace;
}

export class Cluster {
  private constructor(
    readonly directory: string,
    private readonly memory: string,
    readonly network: Network,
    readonly members: Members,
    readonly hosts: readonly NetworkedHost[],
    private readonly forget: () => void,
  ) {}

  static async start(): Promise<Cluster> {
    removeLeftOvers();
    const [directory, memory] = [tmpdir(), MEMORY_DIRECTORY].map(ownDirectory);
    // Undone in the reverse order: what runs in the networks goes before its files do.
    const forget = untilUndone(() => removeDirectories(directory, memory));
    const network = new Network();
    const memberSpaces = Array.from({ length: MEMBERS }, (_, index) =>
      network.add(`m${index + 1}`, FIRST_MEMBER_ADDRESS + index),
    );
    const hosts = Array.from({ length: HOSTS }, (_, index) => {
      const name = `host-${'abc'[index]}`;
      const namespace = network.add(name.replace('-', ''), FIRST_HOST_ADDRESS + index);
      const inside = (words: readonly string[]): string[] => namespace.inside(words);
      return { namespace, host: new Host(name, memory, inside) };
    });
    const members = await Members.start(memberSpaces, network.middle, join(directory, 'etcd'));
    return new Cluster(directory, memory, network, members, hosts, forget);
  }

  /** Of the directory that the hosts share, as they would mount it. */
  get sharedDirectory(): string {
    return join(this.directory, 'shared');
  }

  /** A pool that each host knows; `shared` is where a host mounts the directory that all share. */
  async createPool(
    name: string,
    store: 'dir' | 'etcd',
    options: readonly string[] = [],
    shared: (host: NetworkedHost) => string = () => this.sharedDirectory,
  ): Promise<void> {
    mkdirSync(this.sharedDirectory, { recursive: true });
    const common = ['--etcd', this.members.endpoints, ...options];
    const [first, ...others] = this.hosts;
    await first.host.succeed('pool', 'create', name, '--store', store, ...words(first));
    for (const one of others) await one.host.succeed('pool', 'join', name, ...words(one));

    function words(of: NetworkedHost): string[] {
      return [...(store === 'dir' ? ['--path', join(shared(of), name)] : []), ...common];
    }
  }

  /** Everything of it ends. */
  stop(): void {
    this.network.remove();
    removeDirectories(this.directory, this.memory);
    this.forget();
  }
}

/** Named by our pid; those of runs that died are removed. */
function ownDirectory(parent: string): string {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split('-')[0]) : 0;
    if (pid > 0 && !isAlive(pid)) removeDirectories(join(parent, name));
  }
  return mkdtempSync(join(parent, `${PREFIX}${process.pid}-`));
}

function removeDirectories(...directories: readonly string[]): void {
  for (const directory of directories) {
    for (const mounted of mountedBelow(directory)) {
      execFileSync('umount', ['--lazy', mounted], { stdio: 'ignore' });
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

function mountedBelow(directory: string): string[] {
  const lines = readFileSync('/proc/mounts', 'utf8').split('\n');
  return lines.map((line) => line.split(' ')[1]).filter((at) => at?.startsWith(`${directory}/`));
}
