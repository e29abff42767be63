/** Random requests while calls are lost, doubled, late: what was acknowledged is there, and stays. */
import * as fc from 'fast-check';
import { CHUNK_WRITE } from '../../../lib/store/chunk-io';
import { openEtcdStore } from '../../../lib/store/etcd/etcd-store';
import { heapArea } from '../../../lib/store/memory-area';
import { type Fate, REFUSED, REPLY_LOST, REQUEST_LOST, simEtcd } from '../../simulation/sim-etcd';
import { expectBytes, StoreDriver } from '../store-driver';

const CHUNK_BYTES = 64 * 1024;
const CHUNKS = 4;
const SECTORS = CHUNK_BYTES / 512;
const RUNS = 60;
/** Much longer than an attempt may take, and not the same each time. */
const lateFate = (ms: number): Fate => ({ requestMs: 5000 + ms, replyMs: null });
const twiceFate = (ms: number): Fate => ({ requestMs: 0, replyMs: 0, againMs: ms });

const fate: fc.Arbitrary<Fate | null> = fc.oneof(
  { arbitrary: fc.constant(null), weight: 4 },
  fc.constantFrom(REPLY_LOST, REQUEST_LOST, REFUSED),
  fc.nat(30_000).map(lateFate),
  fc.nat(10_000).map(twiceFate),
);

/** A write (`value` > 0) or punch (0) of some sectors of a chunk; `waitMs` passes before it. */
const change = fc.record({
  chunk: fc.nat(CHUNKS - 1),
  whole: fc.boolean(),
  sector: fc.nat(SECTORS - 1),
  sectors: fc.integer({ min: 1, max: 20 }),
  value: fc.nat(255),
  waitMs: fc.constantFrom(0, 0, 0, 1, 5000, 20_000),
  /** Waits for this one before the next. */
  alone: fc.boolean(),
});
type ChangeOf = typeof change extends fc.Arbitrary<infer T> ? T : never;

async function play(changes: readonly ChangeOf[], fates: readonly (Fate | null)[]): Promise<void> {
  const sim = simEtcd();
  const { etcd, time } = sim;
  // Few are kept, so that most is fetched anew.
  const store = await openEtcdStore({ ...sim, chunkBytes: CHUNK_BYTES, cacheBytes: CHUNK_BYTES });
  const driver = new StoreDriver(store);
  const left = [...fates];
  etcd.fault = () => left.shift() ?? null;
  const disk = Array.from({ length: CHUNKS }, () => Buffer.alloc(CHUNK_BYTES));
  const check = async (chunk: number): Promise<void> =>
    expectBytes(await time.resolve(driver.read({ chunk }, CHUNK_BYTES)), disk[chunk]);
  let running: Promise<number>[] = [];
  const settle = async (): Promise<void> => {
    const errnos = await time.resolve(Promise.all(running));
    expect(errnos.filter((errno) => errno !== 0)).toEqual([]);
    running = [];
  };
  for (const { chunk, whole, value, waitMs, alone, ...part } of changes) {
    if (waitMs > 0) await time.advance(waitMs);
    const offset = whole ? 0 : part.sector * 512;
    const length = whole ? CHUNK_BYTES : Math.min(part.sectors * 512, CHUNK_BYTES - offset);
    disk[chunk].fill(value, offset, offset + length);
    if (value === 0) {
      running.push(driver.punch({ chunk, offset }, length));
    } else {
      const memory = heapArea(length);
      memory.bytes.fill(value);
      running.push(driver.submit(CHUNK_WRITE, { chunk, offset }, memory, 0, length));
      store.kick();
    }
    if (alone) {
      await settle();
      await check(chunk);
    }
  }
  await settle();
  for (let chunk = 0; chunk < CHUNKS; chunk++) await check(chunk);
  // Whatever is still on its way arrives; the next process must find the same.
  await time.advance(100_000);
  await store.close();
  const next = new StoreDriver(await openEtcdStore({ ...sim, chunkBytes: CHUNK_BYTES }));
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    expectBytes(await time.resolve(next.read({ chunk }, CHUNK_BYTES)), disk[chunk]);
  }
}

test('whatever becomes of the calls', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 40 }), fc.array(fate, { maxLength: 80 }), play),
    { numRuns: RUNS },
  );
});
