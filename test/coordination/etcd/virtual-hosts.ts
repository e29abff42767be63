/** Processes on hosts of one simulated cluster, in virtual time: stopped, killed, cut off at will. */
import {
  openEtcdCoordination,
  type EtcdCoordination,
} from '../../../lib/coordination/etcd/etcd-coordination';
import type { EtcdSettings } from '../../../lib/coordination/etcd/context';
import type { ClusterProcess, HostIdentity } from '../../../lib/coordination/etcd/host-identity';
import { makePoolKeys } from '../../../lib/coordination/etcd/pool-key';
import { prefixEnd, type KeyValue } from '../../../lib/etcd/etcd';
import { EtcdCluster } from '../../simulation/etcd-cluster';
import { SimClock, SimHost, SimProcess } from '../../simulation/sim-clock';
import { SimEtcd, type Call, type Fate } from '../../simulation/sim-etcd';
import { VirtualTime } from '../../simulation/virtual-time';

export const LEASE_TTL_MS = 10_000;
export const TAKE_OVER_WAIT_MS = 3_000;
/** From the last confirmation to the owner's own stop. */
export const FENCE_MS = 6_000;

/** One process with its view of the pool. */
export interface Seat {
  readonly process: SimProcess;
  readonly etcd: SimEtcd;
  readonly clock: SimClock;
  readonly view: EtcdCoordination;
  /** Nothing that it sends arrives, from now on. */
  cutOff(): void;
  reconnect(): void;
}

export interface HostsWithVolume {
  readonly hosts: VirtualHosts;
  readonly a: Seat;
  readonly b: Seat;
  /** Of the volume. */
  readonly uuid: string;
  readonly layer: number;
}

const LOST: Fate = { requestMs: null, replyMs: null };

export class VirtualHosts {
  readonly time = new VirtualTime();
  readonly cluster = new EtcdCluster(this.time);
  private readonly hosts = new Map<string, SimHost>();
  private readonly processes = new Map<string, SimProcess>();
  private pids = 100;

  static async make(): Promise<VirtualHosts> {
    const hosts = new VirtualHosts();
    const { etcd, clock } = hosts.seat('admin');
    await hosts.resolve(makePoolKeys(etcd, clock, Buffer.from('the pool')));
    return hosts;
  }

  /** With a volume `v` of 3,000 chunks, and a process on each of the hosts `a` and `b`. */
  static async withVolume(chunkBytes: number): Promise<HostsWithVolume> {
    const hosts = await VirtualHosts.make();
    const [a, b] = [hosts.seat('a'), hosts.seat('b')];
    const volume = { name: 'v', sizeBytes: 3000 * chunkBytes, chunkBytes };
    const { uuid, layer } = await hosts.resolve(a.view.create(volume));
    return { hosts, a, b, uuid, layer };
  }

  /** A new process on a host. */
  seat(hostName: string, settings: Partial<EtcdSettings> = {}): Seat {
    let host = this.hosts.get(hostName);
    if (host === undefined) this.hosts.set(hostName, (host = new SimHost(hostName, this.time)));
    const process = new SimProcess(host, ++this.pids);
    const clock = new SimClock(process);
    const etcd = new SimEtcd(this.cluster, clock);
    const identity = this.identity(hostName, process);
    const view = openEtcdCoordination({
      etcd,
      clock,
      host: identity,
      settings: {
        leaseTtlMs: LEASE_TTL_MS,
        takeOverWaitMs: TAKE_OVER_WAIT_MS,
        storeFences: false,
        ...settings,
      },
      random: () => this.time.random.below(1000) / 1000,
    });
    return {
      process,
      etcd,
      clock,
      view,
      cutOff: () => void (etcd.fault = () => LOST),
      reconnect: () => void (etcd.fault = null),
    };
  }

  resolve<Result>(promise: Promise<Result>, withinMs = 120_000): Promise<Result> {
    return this.time.resolve(promise, withinMs);
  }

  /** What is at a key now. */
  at(key: string): KeyValue | undefined {
    return this.cluster.keys.get(key);
  }

  keysBelow(prefix: string): readonly KeyValue[] {
    return this.cluster.keys.range({ key: prefix, rangeEnd: prefixEnd(prefix) }).keyValues;
  }

  json(key: string): Record<string, unknown> {
    return JSON.parse(this.at(key)!.value.toString()) as Record<string, unknown>;
  }

  /** Puts something there as nobody of this project would. */
  damage(key: string, value: string | Buffer): void {
    const put = { key, value: Buffer.from(value as string) };
    this.cluster.keys.transaction({ compare: [], success: [{ put }] });
  }

  private identity(host: string, process: SimProcess): HostIdentity {
    const self: ClusterProcess = {
      host,
      bootId: `boot of ${host}`,
      pidNamespace: 'pid:[1]',
      pid: process.pid,
      startTime: String(process.pid),
    };
    const nameOf = (other: ClusterProcess): string => `${other.host} ${other.pid}`;
    this.processes.set(nameOf(self), process);
    return {
      ...self,
      isDead: (other) =>
        other.host === host && this.processes.get(nameOf(other))?.isAlive === false,
    };
  }
}

/** Spoils the n-th call from now on, counted from 1; tells whether it came to that. */
export function spoilCall(etcd: SimEtcd, n: number, fate: Fate): { happened: boolean } {
  const result = { happened: false };
  let count = 0;
  etcd.fault = (_call: Call) => {
    if (++count !== n) return null;
    result.happened = true;
    return fate;
  };
  return result;
}
