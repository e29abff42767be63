/** The etcd store: what lies in etcd, how it is batched, and what failures of every kind do to it. */
import type { TapdiskError } from '../../../lib/errors';
import type { Compare } from '../../../lib/etcd/etcd';
import { CHUNK_READ, CHUNK_WRITE } from '../../../lib/store/chunk-io';
import { HEADER_BYTES } from '../../../lib/store/etcd/chunk-value';
import {
  type EtcdStore,
  type EtcdStoreOptions,
  openEtcdStore,
} from '../../../lib/store/etcd/etcd-store';
import {
  ETCD_READS_IN_FLIGHT_MAX,
  ETCD_TRANSACTION_CHUNKS_MAX,
  ETCD_WRITE_BYTES_MAX,
  ETCD_WRITES_IN_FLIGHT_MAX,
} from '../../../lib/store/limits';
import { heapArea } from '../../../lib/store/memory-area';
import { FakeFence } from '../../fake-fence';
import {
  type Call,
  type Fate,
  LATE,
  type PlainSimEtcd,
  REFUSED,
  REPLY_LOST,
  REQUEST_LOST,
  simEtcd,
  SimEtcd,
} from '../../simulation/sim-etcd';
import { expectBytes, pattern, StoreDriver, zeros } from '../store-driver';

const CHUNK_BYTES = 64 * 1024;
const EIO = 5;
const ENOSPC = 28;
const KEY = 'chunks/00000001/00000003';
const LOCK = 'attach/disk';

interface Opened extends PlainSimEtcd {
  readonly store: EtcdStore;
  readonly driver: StoreDriver;
  /** Codes. */
  readonly reports: string[];
  /** A client without the store's faults. */
  readonly other: SimEtcd;
  settle<T>(promise: Promise<T>): Promise<T>;
  value(key?: string): Promise<Buffer | undefined>;
}

async function open(options: Partial<EtcdStoreOptions> = {}): Promise<Opened> {
  const sim = simEtcd();
  const reports: string[] = [];
  const report = (reason: TapdiskError): void => void reports.push(reason.code);
  const store = await openEtcdStore({ ...sim, chunkBytes: CHUNK_BYTES, report, ...options });
  const other = new SimEtcd(sim.cluster, sim.clock);
  const settle = <T>(promise: Promise<T>): Promise<T> => sim.time.resolve(promise);
  return {
    ...sim,
    store,
    driver: new StoreDriver(store),
    reports,
    other,
    settle,
    value: async (key = KEY) =>
      (await settle(other.range({ key }, { deadlineMs: 1000 }))).keyValues[0]?.value,
  };
}

const isPut = ({ transaction }: Call): boolean =>
  transaction?.success.some((operation) => 'put' in operation) ?? false;

/** Spoils the first transactions that put something, one fate each. */
function spoil(etcd: SimEtcd, ...fates: Fate[]): void {
  etcd.fault = (call) => (isPut(call) ? (fates.shift() ?? null) : null);
}

describe('a value', () => {
  test('lies where docs/formats.md says, and is as long as what was written', async () => {
    const { driver, settle, value } = await open();
    await settle(driver.write({ chunk: 3, offset: 512 }, pattern(1024, 7)));
    const bytes = (await value())!;
    expect(bytes.length).toBe(HEADER_BYTES + 512 + 1024);
    expect(bytes.readUInt32LE(0)).toBe(1);
    expect(bytes.readUInt32LE(4)).toBe(512 + 1024);
    const data = Buffer.concat([zeros(512), pattern(1024, 7)]);
    expectBytes(bytes.subarray(HEADER_BYTES), data);
  });

  test.each<[string, (value: Buffer) => Buffer, string]>([
    ['a changed byte', (value) => value.fill(0xff, 100, 101), KEY],
    ['a changed length', (value) => value.subarray(0, value.length - 1), KEY],
    ['no header', () => Buffer.from('hello'), KEY],
    ['an unknown version', (value) => value.fill(2, 0, 1), KEY],
    ['another place', (value) => value, 'chunks/00000001/00000004'],
  ])('with %s is an error, told once, and mended by writing the chunk', async (_, spoiled, key) => {
    const disk = await open();
    const { driver, settle, other, reports } = disk;
    const chunk = key === KEY ? 3 : 4;
    await settle(driver.write({ chunk: 3 }, pattern(4096, 7)));
    const bad = spoiled(Buffer.from((await disk.value())!));
    await settle(
      other.transaction(
        { compare: [], success: [{ put: { key, value: bad } }] },
        { deadlineMs: 9 },
      ),
    );
    const next = await openEtcdStore({
      ...disk,
      chunkBytes: CHUNK_BYTES,
      report: ({ code }) => reports.push(code),
    });
    const damaged = new StoreDriver(next);
    const memory = heapArea(512);
    expect(await settle(damaged.transfer(CHUNK_READ, { chunk }, memory, 0, 512))).toBe(EIO);
    expect(await settle(damaged.write({ chunk }, pattern(512, 1)))).toBe(EIO);
    expect(reports).toEqual(['CHUNK_DAMAGED']);
    expect(await settle(damaged.write({ chunk }, pattern(CHUNK_BYTES, 9)))).toBe(0);
    expectBytes(await settle(damaged.read({ chunk }, CHUNK_BYTES)), pattern(CHUNK_BYTES, 9));
  });
});

describe('batches', () => {
  test('keep to the limits of etcd, and to a number in flight', async () => {
    const { driver, store, etcd, settle } = await open();
    const chunks = 5 * ETCD_TRANSACTION_CHUNKS_MAX;
    let inFlight = 0;
    let inFlightMax = 0;
    let chunksMax = 0;
    const { transaction } = etcd;
    etcd.transaction = async (asked, setting) => {
      const bytes = asked.success.reduce(
        (sum, operation) => sum + ('put' in operation ? operation.put.value.length : 0),
        0,
      );
      expect(bytes).toBeLessThanOrEqual(ETCD_WRITE_BYTES_MAX);
      chunksMax = Math.max(chunksMax, asked.success.length);
      inFlightMax = Math.max(inFlightMax, ++inFlight);
      try {
        return await transaction.call(etcd, asked, setting);
      } finally {
        inFlight--;
      }
    };
    const memory = heapArea(CHUNK_BYTES);
    for (const length of [512, CHUNK_BYTES]) {
      const writes: Promise<number>[] = [];
      for (let chunk = 0; chunk < chunks; chunk++) {
        writes.push(driver.submit(CHUNK_WRITE, { chunk }, memory, 0, length));
      }
      store.kick();
      expect(new Set(await settle(Promise.all(writes)))).toEqual(new Set([0]));
    }
    expect(chunksMax).toBeGreaterThan(1);
    expect(chunksMax).toBeLessThanOrEqual(ETCD_TRANSACTION_CHUNKS_MAX);
    expect(inFlightMax).toBe(ETCD_WRITES_IN_FLIGHT_MAX + ETCD_READS_IN_FLIGHT_MAX);
  });

  test('carry what came for a chunk while its last transaction was under way', async () => {
    const { driver, cluster, settle } = await open();
    await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
    const before = cluster.keys.revision;
    const writes = [driver.write({ chunk: 3 }, pattern(512, 2))];
    for (let i = 3; i < 20; i++) writes.push(driver.write({ chunk: 3 }, pattern(512, i)));
    await settle(Promise.all(writes));
    expect(cluster.keys.revision - before).toBe(2);
    expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 19));
  });

  test('are told to whoever compacts', async () => {
    const written: number[] = [];
    const { driver, settle } = await open({ written: (bytes) => written.push(bytes) });
    await settle(driver.write({ chunk: 3 }, pattern(4096, 1)));
    await settle(driver.punch({ chunk: 3 }, CHUNK_BYTES));
    expect(written).toEqual([HEADER_BYTES + 4096, 0]);
  });
});

test('the cache keeps to its limit, and what it forgot is fetched again', async () => {
  const cacheBytes = 10 * CHUNK_BYTES;
  const { driver, store, settle } = await open({ cacheBytes });
  for (let chunk = 0; chunk < 40; chunk++) {
    await settle(driver.write({ chunk }, pattern(CHUNK_BYTES, chunk)));
    expect(store.describe().cachedBytes).toBeLessThanOrEqual(cacheBytes);
  }
  for (let chunk = 0; chunk < 40; chunk++) {
    expectBytes(await settle(driver.read({ chunk }, CHUNK_BYTES)), pattern(CHUNK_BYTES, chunk));
  }
  const { cacheHits } = store.describe();
  await settle(driver.read({ chunk: 39 }, 512));
  expect(store.describe().cacheHits).toBe(Number(cacheHits) + 1);
});

describe('an attempt', () => {
  test.each([
    ['whose reply is lost', REPLY_LOST],
    ['that is lost', REQUEST_LOST],
    ['that is refused', REFUSED],
    ['that is too late', LATE],
  ])('%s is made again, and done once', async (_, fate) => {
    const { driver, etcd, cluster, settle, time } = await open();
    await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
    const before = cluster.keys.revision;
    spoil(etcd, fate, fate);
    expect(await settle(driver.write({ chunk: 3 }, pattern(512, 2)))).toBe(0);
    await time.advance(200_000);
    expect(cluster.keys.revision).toBe(before + 1);
    expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 2));
  });

  test('that arrives late undoes nothing that came after it', async () => {
    const { driver, etcd, settle, time, value } = await open();
    await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
    spoil(etcd, LATE);
    await settle(driver.write({ chunk: 3 }, pattern(512, 2)));
    await settle(driver.write({ chunk: 3 }, pattern(512, 3)));
    await time.advance(200_000);
    expectBytes((await value())!.subarray(HEADER_BYTES), pattern(512, 3));
  });

  test('that arrives late does not bring back what was punched out', async () => {
    const disk = await open();
    const { driver, etcd, settle, time } = disk;
    spoil(etcd, LATE);
    await settle(driver.write({ chunk: 3 }, pattern(4096, 2)));
    await settle(driver.punch({ chunk: 3 }, CHUNK_BYTES));
    await time.advance(200_000);
    await settle(driver.write({ chunk: 3 }, pattern(512, 3)));
    const next = new StoreDriver(await openEtcdStore({ ...disk, chunkBytes: CHUNK_BYTES }));
    const expected = Buffer.concat([pattern(512, 3), zeros(3584)]);
    expectBytes(await settle(next.read({ chunk: 3 }, 4096)), expected);
  });

  test('waits for a cluster that is away, however long, and harms nobody', async () => {
    const { driver, cluster, settle, time } = await open();
    await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
    cluster.fail('hangs');
    const errnos: number[] = [];
    const write = driver.write({ chunk: 3 }, pattern(512, 2)).then((errno) => errnos.push(errno));
    const read = driver.read({ chunk: 4 }, 512);
    await time.advance(300_000);
    expect(errnos).toEqual([]);
    expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 1));
    cluster.recover();
    await settle(write);
    expect(errnos).toEqual([0]);
    expectBytes(await settle(read), zeros(512));
  });
});

describe('the guard', () => {
  async function locked(
    options: Partial<EtcdStoreOptions> = {},
  ): Promise<Opened & { take(): Promise<number> }> {
    let createRevision = 0;
    const guard = (): readonly Compare[] => [
      { key: LOCK, target: 'createRevision', equals: createRevision },
    ];
    const disk = await open({ guard, ...options });
    const take = async (): Promise<number> => {
      const { revision } = await disk.settle(
        disk.other.transaction(
          { compare: [], success: [{ put: { key: LOCK, value: Buffer.from('lock') } }] },
          { deadlineMs: 1000 },
        ),
      );
      return revision;
    };
    createRevision = await take();
    return {
      ...disk,
      take: async () => {
        await disk.settle(
          disk.other.transaction(
            { compare: [], success: [{ delete: { key: LOCK } }] },
            { deadlineMs: 1000 },
          ),
        );
        return (createRevision = -(await take()));
      },
    };
  }

  test('lets the owner write, and fails everything of one who has lost the lock', async () => {
    const { driver, store, settle, take, value } = await locked();
    expect(await settle(driver.write({ chunk: 3 }, pattern(512, 1)))).toBe(0);
    await take();
    const before = await value();
    const writes = [3, 4, 5].map((chunk) => driver.write({ chunk }, pattern(512, 2)));
    const punch = driver.punch({ chunk: 3 }, CHUNK_BYTES);
    expect(await settle(Promise.all([...writes, punch]))).toEqual([EIO, EIO, EIO, EIO]);
    expect(await settle(driver.write({ chunk: 9 }, pattern(512, 2)))).toBe(EIO);
    expect(await value()).toEqual(before);
    await expect(settle(store.deleteLayer(1))).rejects.toMatchObject({ code: 'VOLUME_LOST' });
    await store.close();
  });

  test('that a fence does not call final is asked again: the lock may be taken anew', async () => {
    const fence = new FakeFence();
    let lock = 0;
    const guard = (): readonly Compare[] => [{ key: LOCK, target: 'createRevision', equals: lock }];
    const { driver, settle, time, other } = await open({ guard, fence });
    const put = { put: { key: LOCK, value: Buffer.from('lock') } };
    const { revision } = await settle(
      other.transaction({ compare: [], success: [put] }, { deadlineMs: 1000 }),
    );
    const write = driver.write({ chunk: 3 }, pattern(512, 1));
    await time.advance(10_000);
    lock = revision;
    expect(await settle(write)).toBe(0);
  });

  test('that fails is told, as it was compared, to whoever keeps the right', async () => {
    const doubted: (readonly Compare[])[] = [];
    const fence = new FakeFence();
    const doubt = (guard: readonly Compare[]): void => void doubted.push(guard);
    const { driver, store, settle, time, take } = await locked({ fence, doubt });
    await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
    expect(doubted).toEqual([]);
    await take();
    const write = driver.write({ chunk: 3 }, pattern(512, 2));
    await time.runUntil(() => doubted.length > 0, 1000);
    expect(doubted[0]).toMatchObject([{ key: LOCK }]);
    await expect(settle(store.deleteLayer(1))).rejects.toMatchObject({ code: 'VOLUME_LOST' });
    expect(doubted.length).toBeGreaterThan(1);
    fence.lose();
    expect(await settle(write)).toBe(EIO);
  });

  test('that fails for good fails all that waits, at once', async () => {
    const fence = new FakeFence();
    const { driver, store, cluster, time } = await locked({ fence });
    cluster.fail('hangs');
    const all = [
      driver.write({ chunk: 3 }, pattern(512, 1)),
      driver.transfer(CHUNK_READ, { chunk: 7 }, heapArea(512), 0, 512),
      driver.punch({ chunk: 8 }, CHUNK_BYTES),
    ];
    await time.advance(1000);
    fence.lose();
    expect(await Promise.all(all)).toEqual([EIO, EIO, EIO]);
    await time.advance(10_000);
    await store.close();
    expect(fence.listening).toBe(0);
  });
});

test('a full cluster: ENOSPC for writes; reads and punches go on; it recovers by itself', async () => {
  const { driver, cluster, settle, reports } = await open();
  for (const chunk of [3, 4]) await settle(driver.write({ chunk }, pattern(512, chunk)));
  cluster.keys.hasNoSpaceAlarm = true;
  const results = [
    driver.write({ chunk: 3 }, pattern(512, 9)),
    driver.write({ chunk: 5 }, pattern(512, 9)),
    driver.punch({ chunk: 4 }, CHUNK_BYTES),
  ];
  expect(await settle(Promise.all(results))).toEqual([ENOSPC, ENOSPC, 0]);
  expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 3));
  expectBytes(await settle(driver.read({ chunk: 4 }, 512)), zeros(512));
  expect(await settle(driver.write({ chunk: 3 }, pattern(512, 9)))).toBe(ENOSPC);
  expect(reports).toEqual(['CHUNK_WRITE_REFUSED']);
  cluster.keys.hasNoSpaceAlarm = false;
  expect(await settle(driver.write({ chunk: 3 }, pattern(512, 9)))).toBe(0);
  expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 9));
});

test('a write that was given up and arrives late is never half seen', async () => {
  const { driver, etcd, cluster, settle, time } = await open();
  await settle(driver.write({ chunk: 3 }, pattern(512, 1)));
  spoil(etcd, LATE);
  const write = driver.write({ chunk: 3 }, pattern(512, 2));
  await time.advance(1000);
  cluster.keys.hasNoSpaceAlarm = true;
  expect(await settle(write)).toBe(ENOSPC);
  expectBytes(await settle(driver.read({ chunk: 3 }, 512)), pattern(512, 1));
  cluster.keys.hasNoSpaceAlarm = false;
  await time.advance(200_000);
  // It is there now, which a failed write may be; from now on everybody must see the same.
  const seen = await settle(driver.read({ chunk: 3 }, 512));
  expect(await settle(driver.write({ chunk: 3, offset: 512 }, pattern(512, 5)))).toBe(0);
  expectBytes(
    await settle(driver.read({ chunk: 3 }, 1024)),
    Buffer.concat([seen, pattern(512, 5)]),
  );
});

test('reading is refused for good: an error, not a wait', async () => {
  const { driver, etcd, settle, reports } = await open();
  etcd.range = () =>
    Promise.reject(Object.assign(new Error('no permission'), { code: 'ETCD_REFUSED' }));
  expect(await settle(driver.transfer(CHUNK_READ, { chunk: 1 }, heapArea(512), 0, 512))).toBe(EIO);
  expect(reports).toEqual(['CHUNK_READ_REFUSED']);
});

test('a layer of many chunks is deleted in steps, and others stay', async () => {
  const { driver, store, cluster, settle } = await open();
  const memory = heapArea(512);
  const all: Promise<number>[] = [];
  for (let chunk = 0; chunk < 700; chunk++) {
    all.push(driver.submit(CHUNK_WRITE, { layer: 1, chunk: 3 * chunk }, memory, 0, 512));
  }
  all.push(driver.submit(CHUNK_WRITE, { layer: 2, chunk: 0 }, memory, 0, 512));
  store.kick();
  await settle(Promise.all(all));
  const before = cluster.keys.revision;
  await settle(store.deleteLayer(1));
  expect(cluster.keys.revision - before).toBe(3);
  expect(await settle(store.usedBytes(1))).toBe(0);
  expect(await settle(store.usedBytes(2))).toBe(CHUNK_BYTES);
});
