/**
 * Network namespaces of a test's own, joined by a bridge in another one: what happens there reaches
 * nothing outside, and each can be cut off for real.
 *
 * Their names carry the pid that made them, so that a later run removes what a dead one left.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { untilUndone } from '../bench/left-behind';
import { isAlive } from './processes';
import { succeed } from './run-command';

const NAME_PREFIX = 'tapdisk-test';
const NETWORK = '10.99.0';
const BRIDGE_HOST = 254;
const ANYWHERE = '0.0.0.0/0';
const NAMESPACES_DIRECTORY = '/run/netns';
const NAME = new RegExp(`^${NAME_PREFIX}-(\\d+)-[0-9a-f]+-[a-z0-9]+$`);

/** Which way a cut-off namespace's packets are dropped. */
export type Direction = 'both' | 'in' | 'out';

/** One namespace, with one address on the bridge. */
export class Namespace {
  constructor(
    private readonly network: Network,
    private readonly role: string,
    readonly address: string,
  ) {}

  /** Words that run a program in this namespace, its pid being the program's. */
  inside(words: readonly string[]): string[] {
    return ['nsenter', `--net=${NAMESPACES_DIRECTORY}/${this.network.nameOf(this.role)}`, ...words];
  }

  /**
   * Silently, as a switch does that loses them: nobody is told that a connection broke.
   *
   * @param from what it can no longer reach; everything where that is not said
   */
  async cutOff(direction: Direction = 'both', from?: readonly Namespace[]): Promise<void> {
    const chains = { in: ['INPUT'], out: ['OUTPUT'], both: ['INPUT', 'OUTPUT'] } as const;
    const others = from?.map(({ address }) => address).join(',') ?? ANYWHERE;
    for (const chain of chains[direction]) {
      const [other, through] = chain === 'INPUT' ? ['-s', '-i'] : ['-d', '-o'];
      const rule = ['-A', chain, other, others, '!', through, 'lo', '-j', 'DROP'];
      await succeed(this.inside(['iptables', ...rule]));
    }
  }

  async join(): Promise<void> {
    await succeed(this.inside(['iptables', '-F']));
  }

  /** Pulls the cable. */
  async unplug(): Promise<void> {
    await this.network.setLink(this.role, 'down');
  }

  async plugIn(): Promise<void> {
    await this.network.setLink(this.role, 'up');
  }
}

export function addressOf(host: number): string {
  return `${NETWORK}.${host}`;
}

export class Network {
  private readonly id = `${process.pid}-${randomBytes(3).toString('hex')}`;
  private readonly forget: () => void;

  /** Makes the bridge. Needs root. */
  constructor() {
    this.forget = untilUndone(() => this.removeNow());
    const bridge = this.nameOf('bridge');
    ip('netns', 'add', bridge);
    ip('-n', bridge, 'link', 'set', 'lo', 'up');
    ip('-n', bridge, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', bridge, 'addr', 'add', `${NETWORK}.${BRIDGE_HOST}/24`, 'dev', 'br0');
    ip('-n', bridge, 'link', 'set', 'br0', 'up');
  }

  /** On the bridge itself: reaches every namespace that is not cut off. */
  get middle(): Namespace {
    return new Namespace(this, 'bridge', addressOf(BRIDGE_HOST));
  }

  /** @param host last byte of its address; @param further those of more addresses that it has */
  add(role: string, host: number, further: readonly number[] = []): Namespace {
    const [name, bridge] = [this.nameOf(role), this.nameOf('bridge')];
    const address = addressOf(host);
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    const peer = ['peer', 'name', `to-${role}`, 'netns', bridge];
    ip('link', 'add', 'eth0', 'netns', name, 'type', 'veth', ...peer);
    ip('-n', bridge, 'link', 'set', `to-${role}`, 'master', 'br0', 'up');
    for (const one of [host, ...further]) {
      ip('-n', name, 'addr', 'add', `${NETWORK}.${one}/24`, 'dev', 'eth0');
    }
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    return new Namespace(this, role, address);
  }

  nameOf(role: string): string {
    return `${NAME_PREFIX}-${this.id}-${role}`;
  }

  async setLink(role: string, state: 'up' | 'down'): Promise<void> {
    const bridge = this.nameOf('bridge');
    await succeed(['ip', '-n', bridge, 'link', 'set', `to-${role}`, state]);
  }

  /** Kills what still runs in the namespaces, and removes them. */
  remove(): void {
    this.removeNow();
    this.forget();
  }

  private removeNow(): void {
    for (const name of namespaces()) if (name.includes(`-${this.id}-`)) removeNamespace(name);
  }
}

/** Removes the namespaces of runs that died, with what still runs in them. */
export function removeLeftOvers(): void {
  for (const name of namespaces()) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) removeNamespace(name);
  }
}

function namespaces(): string[] {
  try {
    return readdirSync(NAMESPACES_DIRECTORY);
  } catch {
    return [];
  }
}

function removeNamespace(name: string): void {
  for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // Ended by itself meanwhile.
    }
  }
  ip('netns', 'del', name);
}

function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
