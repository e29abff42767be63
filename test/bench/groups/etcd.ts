/** What coordination by etcd costs, and what the etcd store gets of etcd: three members on loopback. */
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../../cluster/quantile';
import { RealEtcd } from '../../etcd/real-etcd';
import { etcdStoreRatios } from '../etcd-store-ratio';
import { loads, nameOfLoad } from '../load';
import { newChunkFlushes } from '../new-chunk-flushes';
import { atLeast, compare, type Line, type Row } from '../row';
import type { Sample } from '../sample';
import { ServedRing } from '../served-ring';
import { CHUNK_BYTES, DURATION_MS, KIB, ROUNDS } from '../settings';
import type { RowDone } from './group';

const LOADS = loads('random', 4 * KIB, [32]);
const NEW_CHUNKS = 200;
const STORE_DEPTHS = [1, 16, 32];
const RATE_HEAD = '/s';

/** A few hundredths are looked for, and single runs differ by tens: many short ones, then. */
const STEADY_ROUNDS = 7 * ROUNDS;
const STEADY_RUN_MS = Math.ceil(DURATION_MS / 3);
/** For what members that were stopped have to catch up with, before somebody else is measured. */
const AFTER_THAW_MS = 300;

export async function etcd(done: RowDone): Promise<void> {
  const cluster = await RealEtcd.start({ members: 3 });
  await steadyState(cluster, done);
  done(await flushes(cluster.endpoints));
  await storeBesideRaw(cluster.endpoints, done);
  await cluster.stop();
}

/**
 * Once every chunk is written, etcd has no part in a request: what is left is the fence. The idle
 * members take their share of the machine beside both sides; what that is the last line shows, for
 * which they are stopped.
 */
async function steadyState(cluster: RealEtcd, done: RowDone): Promise<void> {
  const { endpoints: etcdEndpoints, members } = cluster;
  const local = await ServedRing.prepare({ path: 'direct' });
  const coordinated = await ServedRing.prepare({ path: 'direct', etcdEndpoints });
  for (const load of LOADS) {
    const run = (served: ServedRing) => (): Promise<Sample> => served.run(load, STEADY_RUN_MS);
    const runAlone = async (): Promise<Sample> => {
      for (const member of members) member.freeze();
      try {
        return await run(local)();
      } finally {
        for (const member of members) member.thaw();
        await sleep(AFTER_THAW_MS);
      }
    };
    done(
      await compare({
        load: `${nameOfLoad(load, 'direct')}; ${STEADY_ROUNDS} runs of ${STEADY_RUN_MS} ms`,
        ours: { who: 'dir store, etcd', run: run(coordinated) },
        peers: [
          { who: 'dir store, local', run: run(local) },
          { who: 'the same, no members', run: runAlone },
        ],
        goals: [{ peers: ['dir store, local'], goal: atLeast(0.97) }],
        rounds: STEADY_ROUNDS,
      }),
    );
  }
  for (const served of [coordinated, local]) await served.stopAndRemove();
}

async function flushes(etcdEndpoints: readonly string[]): Promise<Row> {
  return {
    load: '4 KiB write to a new chunk, and a flush; depth 1, direct',
    lines: [await line('dir store, etcd', { etcdEndpoints }), await line('dir store, local', {})],
  };

  async function line(
    who: string,
    options: { readonly etcdEndpoints?: readonly string[] },
  ): Promise<Line> {
    const sizeBytes = NEW_CHUNKS * CHUNK_BYTES;
    const served = await ServedRing.create({ path: 'direct', sizeBytes, ...options });
    await served.startServer();
    const ring = served.tapdisk.deviceDirectory;
    const takenMs = await newChunkFlushes(ring, NEW_CHUNKS, CHUNK_BYTES);
    await served.stopServer();
    served.remove();
    const extra = { 'p50 ms': quantile(takenMs, 0.5), 'p99 ms': quantile(takenMs, 0.99) };
    return { who, summary: null, samples: [], extra, ratios: [], figures: [] };
  }
}

async function storeBesideRaw(endpoints: readonly string[], done: RowDone): Promise<void> {
  const setting = { endpoints, depths: STORE_DEPTHS, durationMs: 3 * DURATION_MS };
  for (const { operation, depth, storePerSecond, rawPerSecond, ratio } of await etcdStoreRatios(
    setting,
  )) {
    const common = { summary: null, samples: [], figures: [] };
    const extra = (perSecond: number): Line['extra'] => ({ [RATE_HEAD]: perSecond });
    const ratios = [{ of: 'raw', value: ratio, goal: atLeast(0.9) }];
    done({
      load: `64 KiB ${operation}, depth ${depth}`,
      lines: [
        { ...common, who: 'etcd store', extra: extra(storePerSecond), ratios: [] },
        { ...common, who: 'raw etcd', extra: extra(rawPerSecond), ratios },
      ],
    });
  }
}
