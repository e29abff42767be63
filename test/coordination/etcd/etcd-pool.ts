/** Pools in an etcd cluster, reached by processes of one host that can be killed. */
import type { Clock } from '../../../lib/clock';
import type { Coordination } from '../../../lib/coordination/coordination';
import {
  openEtcdCoordination,
  type EtcdCoordination,
} from '../../../lib/coordination/etcd/etcd-coordination';
import type { HostIdentity } from '../../../lib/coordination/etcd/host-identity';
import { makePoolKeys } from '../../../lib/coordination/etcd/pool-key';
import type { Etcd } from '../../../lib/etcd/etcd';
import { realClock } from '../../simulation/sim-clock';
import { SimEtcd, simEtcdInRealTime } from '../../simulation/sim-etcd';
import type { PoolUnderTest } from '../pool-under-test';

export interface ClusterUnderTest {
  /** A client of its own for a process. */
  connect(): Promise<Etcd>;
  /** Ends the clients and what was made below their prefix. */
  dispose(): Promise<void>;
}

export function simCluster(): ClusterUnderTest {
  const { cluster } = simEtcdInRealTime();
  return {
    connect: async () => new SimEtcd(cluster, realClock),
    dispose: async () => {},
  };
}

/** What a process that was killed does no more. */
class Mortal {
  isDead = false;

  etcd(etcd: Etcd): Etcd {
    return new Proxy(etcd, {
      get: (target, name: keyof Etcd) => {
        const call = target[name] as (...parameters: unknown[]) => unknown;
        return (...parameters: unknown[]) => {
          if (this.isDead) return new Promise(() => {});
          const result = call.apply(target, parameters);
          if (!(result instanceof Promise)) return result;
          return new Promise((resolve, reject) => {
            result.then(
              (value) => void (this.isDead || resolve(value)),
              (error: Error) => void (this.isDead || reject(error)),
            );
          });
        };
      },
    });
  }

  readonly clock: Clock = {
    nowMs: () => realClock.nowMs(),
    date: () => realClock.date(),
    setTimer: (delayMs, callback) =>
      realClock.setTimer(delayMs, () => void (this.isDead || callback())),
  };
}

/** In real time: what waits for a lease is tested elsewhere, in virtual time. */
export async function makeEtcdPool(cluster: ClusterUnderTest): Promise<PoolUnderTest> {
  const living = new Map<Coordination, { mortal: Mortal; etcd: Etcd; startTime: string }>();
  const ended = new Set<string>();
  let processes = 0;
  const identity = (): HostIdentity => ({
    host: 'host-a',
    bootId: 'boot-1',
    pidNamespace: 'pid:[1]',
    pid: process.pid,
    startTime: String(++processes),
    isDead: ({ startTime }) => ended.has(startTime),
  });
  const first = await cluster.connect();
  await makePoolKeys(first, realClock, Buffer.from('the pool'));
  await first.close();
  return {
    async open(): Promise<EtcdCoordination> {
      const mortal = new Mortal();
      const etcd = await cluster.connect();
      const host = identity();
      const view = openEtcdCoordination({
        etcd: mortal.etcd(etcd),
        clock: mortal.clock,
        host,
        settings: { storeFences: false },
      });
      living.set(view, { mortal, etcd, startTime: host.startTime });
      return view;
    },
    async kill(view) {
      const { mortal, etcd, startTime } = living.get(view)!;
      mortal.isDead = true;
      ended.add(startTime);
      living.delete(view);
      await etcd.close();
    },
    async dispose() {
      for (const { mortal, etcd } of living.values()) {
        mortal.isDead = true;
        await etcd.close();
      }
      await cluster.dispose();
    },
  };
}
