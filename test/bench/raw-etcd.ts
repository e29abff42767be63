/** What etcd itself does by the same client: the measure for what is built on it. */
import { randomBytes } from 'node:crypto';
import type { Etcd } from '../../lib/etcd/etcd';

export interface RawEtcdLoad {
  readonly kind: 'put' | 'get';
  readonly valueBytes: number;
  /** Keys that are gone round; each is written before it is read. */
  readonly keys: number;
  readonly operations: number;
  /** Calls under way at a time. */
  readonly depth: number;
}

export interface RawEtcdFigures {
  readonly perSecond: number;
  readonly latencyMsP50: number;
  readonly latencyMsP99: number;
  /** Of the last put: what may be compacted. */
  readonly revision: number;
}

const SETTING = { deadlineMs: 10_000 };

/** Any failed call fails the measurement: it shall not count what was not done. */
export async function measureRawEtcd(etcd: Etcd, load: RawEtcdLoad): Promise<RawEtcdFigures> {
  const value = randomBytes(load.valueBytes);
  let revision = 0;
  const keyOf = (index: number): string => `bench/${index % load.keys}`;
  const put = async (index: number): Promise<void> => {
    const success = [{ put: { key: keyOf(index), value } }];
    revision = (await etcd.transaction({ compare: [], success }, SETTING)).revision;
  };
  const get = async (index: number): Promise<void> => {
    const { count } = await etcd.range({ key: keyOf(index) }, SETTING);
    if (count !== 1) throw new Error(`${keyOf(index)} is gone`);
  };
  if (load.kind === 'get') await inParallel(load.keys, load.depth, put);

  const latenciesMs: number[] = [];
  const timed = async (index: number): Promise<void> => {
    const begin = performance.now();
    await (load.kind === 'put' ? put(index) : get(index));
    latenciesMs.push(performance.now() - begin);
  };
  const begin = performance.now();
  await inParallel(load.operations, load.depth, timed);
  const tookMs = performance.now() - begin;
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number =>
    latenciesMs[Math.min(Math.floor(latenciesMs.length * share), latenciesMs.length - 1)];
  return {
    perSecond: (load.operations * 1_000) / tookMs,
    latencyMsP50: at(0.5),
    latencyMsP99: at(0.99),
    revision,
  };
}

async function inParallel(
  count: number,
  depth: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: depth }, one));
}
