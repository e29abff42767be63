/** The etcd store beside puts and gets by the same client: same sizes, same number at a time. */
import { BootClock } from '../../lib/etcd/boot-clock';
import { Compactor } from '../../lib/etcd/compactor';
import type { Etcd } from '../../lib/etcd/etcd';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { CHUNK_READ, CHUNK_WRITE, ChunkIo, type ChunkOperation } from '../../lib/store/chunk-io';
import type { ChunkStore } from '../../lib/store/chunk-store';
import { openEtcdStore } from '../../lib/store/etcd/etcd-store';
import { ETCD_CHUNK_BYTES } from '../../lib/store/limits';
import { heapArea } from '../../lib/store/memory-area';
import { median } from './sample';

export interface EtcdStoreRatio {
  readonly operation: 'write' | 'read';
  /** Requests at a time. */
  readonly depth: number;
  readonly storePerSecond: number;
  readonly rawPerSecond: number;
  /** Above 1 the store is quicker. */
  readonly ratio: number;
  /** (highest − lowest) / median of the rounds' ratios. */
  readonly spread: number;
}

export interface RatioSetting {
  readonly endpoints: readonly string[];
  readonly depths: readonly number[];
  /** Of all measurements of one side at one depth together. */
  readonly durationMs: number;
}

/** Keys that take turns: more than any depth, so that no two requests meet in one. */
const KEYS = 128;
const DEADLINE_MS = 10_000;
/** So small that every read of the store is one of etcd. */
const NO_CACHE_BYTES = 1;
/**
 * Store and raw take turns, and so does who is first: other work on the machine comes and goes, and a
 * disk that writes back slows whoever comes next.
 */
const ROUNDS = 12;

type Once = (key: number) => Promise<void>;

/** Operations a second with `depth` of them at a time. */
async function rate(once: Once, depth: number, durationMs: number): Promise<number> {
  const beganMs = performance.now();
  let done = 0;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - beganMs < durationMs) {
      await once(next++ % KEYS);
      done++;
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  return done / ((performance.now() - beganMs) / 1000);
}

function throughStore(store: ChunkStore, operation: ChunkOperation): Once {
  // As a guest's memory, which is there already.
  const memories = Array.from({ length: KEYS }, () => heapArea(ETCD_CHUNK_BYTES));
  return async (chunk) => {
    const io = new ChunkIo();
    Object.assign(io, { operation, layer: 1, chunk, length: ETCD_CHUNK_BYTES });
    io.memory = memories[chunk];
    const errno = await new Promise<number>((resolve) => {
      io.owner = { chunkIoDone: () => resolve(io.errno) };
      store.submit(io);
      store.kick();
    });
    if (errno !== 0) throw new Error(`the store answered errno ${errno}`);
  };
}

function raw(etcd: Etcd, operation: ChunkOperation, compactor: Compactor): Once {
  const setting = { deadlineMs: DEADLINE_MS };
  const value = Buffer.alloc(ETCD_CHUNK_BYTES);
  return async (index) => {
    const key = `raw/${index}`;
    if (operation === CHUNK_READ) {
      await etcd.range({ key }, setting);
      return;
    }
    const put = { put: { key, value } };
    const { revision } = await etcd.transaction({ compare: [], success: [put] }, setting);
    compactor.written(value.length, revision);
  };
}

/** Medians: of the ratios of neighbouring measurements, not the ratio of the medians. */
function summaryOf(
  rounds: readonly Pick<EtcdStoreRatio, 'storePerSecond' | 'rawPerSecond'>[],
): Omit<EtcdStoreRatio, 'operation' | 'depth'> {
  const ratios = rounds.map(({ storePerSecond, rawPerSecond }) => storePerSecond / rawPerSecond);
  return {
    storePerSecond: median(rounds.map(({ storePerSecond }) => storePerSecond)),
    rawPerSecond: median(rounds.map(({ rawPerSecond }) => rawPerSecond)),
    ratio: median(ratios),
    spread: (Math.max(...ratios) - Math.min(...ratios)) / median(ratios),
  };
}

/** The store beside the raw client, at each depth and in both directions. */
export async function etcdStoreRatios(setting: RatioSetting): Promise<EtcdStoreRatio[]> {
  const { endpoints, depths, durationMs } = setting;
  const etcd = await openEtcd({ endpoints: [...endpoints], prefix: '/bench-store/' }, {});
  const compactor = new Compactor(etcd);
  const written = (bytes: number, revision: number): void => compactor.written(bytes, revision);
  const options = { etcd, clock: new BootClock(), chunkBytes: ETCD_CHUNK_BYTES, written };
  const store = await openEtcdStore(options);
  const uncached = await openEtcdStore({ ...options, cacheBytes: NO_CACHE_BYTES });
  try {
    const results: EtcdStoreRatio[] = [];
    for (let key = 0; key < KEYS; key++) {
      await throughStore(store, CHUNK_WRITE)(key);
      await raw(etcd, CHUNK_WRITE, compactor)(key);
    }
    for (const depth of depths) {
      for (const operation of [CHUNK_WRITE, CHUNK_READ] as const) {
        const through = throughStore(operation === CHUNK_READ ? uncached : store, operation);
        const direct = raw(etcd, operation, compactor);
        const roundMs = durationMs / ROUNDS;
        const rounds: Pick<EtcdStoreRatio, 'storePerSecond' | 'rawPerSecond'>[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          const isRawFirst = round % 2 === 1;
          const before = isRawFirst ? await rate(direct, depth, roundMs) : 0;
          const storePerSecond = await rate(through, depth, roundMs);
          const rawPerSecond = isRawFirst ? before : await rate(direct, depth, roundMs);
          rounds.push({ storePerSecond, rawPerSecond });
        }
        const name = operation === CHUNK_READ ? 'read' : 'write';
        results.push({ operation: name, depth, ...summaryOf(rounds) });
      }
    }
    return results;
  } finally {
    await compactor.close();
    await store.close();
    await uncached.close();
    await etcd.close();
  }
}
