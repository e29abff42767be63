/** The fenced store: hands over while the fence is open, waits, goes on, and fails when it is lost. */
import { CHUNK_READ, ChunkIo } from '../../lib/store/chunk-io';
import { FencedStore } from '../../lib/store/fenced-store';
import { FENCE_WAIT_MS } from '../../lib/store/limits';
import { MemoryStore } from '../../lib/store/memory-store';
import { heapArea } from '../../lib/store/memory-area';
import { FakeFence } from '../fake-fence';
import { CHUNK_BYTES, chunkStoreContract } from './contract';
import { expectBytes, pattern, StoreDriver, zeros } from './store-driver';

const EIO = 5;

describe('with an open fence it keeps the contract', () => {
  chunkStoreContract((bytes) => new FencedStore(new MemoryStore(bytes), new FakeFence()));
});

/** Notes what reaches it. */
class NotingStore extends MemoryStore {
  readonly log: string[] = [];

  override submit(io: ChunkIo): void {
    this.log.push(`${io.operation === CHUNK_READ ? 'read' : 'write'} ${io.chunk}`);
    super.submit(io);
  }

  override sync(done: (errno: number) => void): void {
    this.log.push('sync');
    super.sync(done);
  }

  override punch(...punch: Parameters<MemoryStore['punch']>): void {
    this.log.push(`punch ${punch[1]}`);
    super.punch(...punch);
  }

  override async settleLayer(layer: number): Promise<void> {
    this.log.push(`settle ${layer}`);
  }
}

interface Opened {
  readonly fence: FakeFence;
  readonly inner: NotingStore;
  readonly store: FencedStore;
  readonly driver: StoreDriver;
}

function open(): Opened {
  const fence = new FakeFence();
  const inner = new NotingStore(CHUNK_BYTES);
  const store = new FencedStore(inner, fence);
  return { fence, inner, store, driver: new StoreDriver(store) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('asks the fence once a batch, in the kick', async () => {
  const { fence, store, driver } = open();
  const memory = heapArea(512);
  const all = [1, 2, 3].map((chunk) => driver.submit(CHUNK_READ, { chunk }, memory, 0, 512));
  expect(fence.asked).toBe(0);
  store.kick();
  expect(fence.asked).toBe(1);
  expect(await Promise.all(all)).toEqual([0, 0, 0]);
});

test('keeps what comes while it is closed, and hands it over in order when it opens', async () => {
  const { fence, inner, driver } = open();
  fence.close();
  const first = driver.write({ chunk: 1 }, pattern(512, 1));
  const sync = driver.sync();
  const punch = driver.punch({ chunk: 9 }, CHUNK_BYTES);
  const settled = driver.store.settleLayer(4);
  const second = driver.write({ chunk: 1 }, pattern(512, 2));
  await turn();
  expect(inner.log).toEqual([]);
  fence.open();
  expect(await Promise.all([first, second, sync, punch])).toEqual([0, 0, 0, 0]);
  await settled;
  expect(inner.log).toEqual(['sync', 'punch 9', 'write 1', 'write 1', 'settle 4']);
  expectBytes(await driver.read({ chunk: 1 }, 512), pattern(512, 2));
});

test('goes on at any kick when nobody tells it that the fence is open', async () => {
  const { fence, driver, store } = open();
  fence.close();
  const written = driver.write({ chunk: 1 }, pattern(512, 1));
  const sync = driver.sync();
  fence.open(true);
  store.kick();
  expect(await Promise.all([written, sync])).toEqual([0, 0]);
});

test('tells what the inner store had when the fence closed', async () => {
  const { fence, driver } = open();
  const written = driver.write({ chunk: 1 }, pattern(512, 1));
  fence.close();
  expect(await written).toBe(0);
});

test('fails everything with EIO when the volume is lost, and lets nothing through', async () => {
  const { fence, inner, driver } = open();
  fence.close();
  const waiting = [
    driver.write({ chunk: 1 }, pattern(512, 1)),
    driver.sync(),
    driver.punch({ chunk: 9 }, CHUNK_BYTES),
  ];
  const settled = driver.store.settleLayer(4);
  fence.lose();
  expect(await Promise.all(waiting)).toEqual([EIO, EIO, EIO]);
  await expect(settled).rejects.toMatchObject({ code: 'VOLUME_LOST' });
  const later = [
    driver.write({ chunk: 1 }, pattern(512, 1)),
    driver.transfer(CHUNK_READ, { chunk: 1 }, heapArea(512), 0, 512),
    driver.sync(),
    driver.punch({ chunk: 9 }, CHUNK_BYTES),
  ];
  expect(await Promise.all(later)).toEqual([EIO, EIO, EIO, EIO]);
  await expect(driver.store.deleteLayer(4)).rejects.toMatchObject({ code: 'VOLUME_LOST' });
  expect(inner.log).toEqual([]);
});

test('tells a sync or punch of a lost volume later, never from inside', async () => {
  const { fence, store } = open();
  fence.lose();
  let ended = 0;
  store.sync(() => ended++);
  store.punch(1, 0, 0, CHUNK_BYTES, () => ended++);
  expect(ended).toBe(0);
  await turn();
  expect(ended).toBe(2);
});

test('tells the end of a batch after failing it', () => {
  const { fence, store, driver } = open();
  let batches = 0;
  store.onBatchEnd = () => batches++;
  fence.lose();
  void driver.write({ chunk: 1 }, pattern(512, 1));
  expect(batches).toBe(1);
});

test('does not wait for ever where a person waits: VOLUME_STALLED', async () => {
  jest.useFakeTimers();
  try {
    const { fence, driver } = open();
    fence.close();
    const settled = driver.store.settleLayer(4);
    const refused = expect(settled).rejects.toMatchObject({
      code: 'VOLUME_STALLED',
      transient: true,
    });
    await jest.advanceTimersByTimeAsync(FENCE_WAIT_MS);
    await refused;
  } finally {
    jest.useRealTimers();
  }
});

test('listens no more when it is closed, and says of the inner store what it says', async () => {
  const { fence, inner, store, driver } = open();
  await driver.write({ chunk: 1 }, pattern(512, 1));
  expect(store.describe()).toEqual(inner.describe());
  expect(await store.usedBytes(1)).toBe(CHUNK_BYTES);
  await store.deleteLayer(1);
  expectBytes(await driver.read({ chunk: 1 }, 512), zeros(512));
  expect(fence.listening).toBe(1);
  await store.close();
  expect(fence.listening).toBe(0);
});
