/** The etcd store on a real cluster of three: its contract, and the room that overwriting takes. */
import { Compactor } from '../../lib/etcd/compactor';
import type { Etcd } from '../../lib/etcd/etcd';
import { BootClock } from '../../lib/etcd/boot-clock';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { type EtcdStore, openEtcdStore } from '../../lib/store/etcd/etcd-store';
import { ETCD_CHUNK_BYTES } from '../../lib/store/limits';
import { chunkStoreContract } from '../store/contract';
import { expectBytes, pattern, StoreDriver } from '../store/store-driver';
import { RealEtcd } from './real-etcd';
import { whereRealEtcd } from './require-real';

/** `make test-etcd-overwrite` asks for 20,000, which takes minutes. */
const OVERWRITES = Number(process.env.OVERWRITES ?? 2000);
const DATABASE_BYTES_MAX = 100e6;

jest.setTimeout(600_000);

whereRealEtcd('the etcd store on three members', () => {
  const clock = new BootClock();
  let cluster: RealEtcd;
  const clients: Etcd[] = [];
  let opened = 0;

  beforeAll(async () => {
    cluster = await RealEtcd.start({ members: 3 });
  });
  afterAll(async () => {
    for (const client of clients) await client.close();
    await cluster.stop();
  });

  async function newClient(): Promise<Etcd> {
    const prefix = `/store/${opened++}/`;
    const client = await openEtcd({ endpoints: cluster.endpoints, prefix }, {});
    clients.push(client);
    return client;
  }

  async function open(chunkBytes: number): Promise<EtcdStore> {
    return openEtcdStore({ etcd: await newClient(), clock, chunkBytes });
  }

  chunkStoreContract(open);

  test(`one chunk overwritten ${OVERWRITES} times leaves each member's database small`, async () => {
    const etcd = await newClient();
    const failures: unknown[] = [];
    const compactor = new Compactor(etcd, { onFailed: (error) => failures.push(error) });
    const written = (bytes: number, revision: number): void => compactor.written(bytes, revision);
    const chunkBytes = ETCD_CHUNK_BYTES;
    const store = await openEtcdStore({ etcd, clock, chunkBytes, written });
    const driver = new StoreDriver(store);
    let largest = 0;
    const look = async (): Promise<void> => {
      for (const { status, error } of await etcd.members({ deadlineMs: 5000 })) {
        if (status === null) throw new Error(error ?? 'no answer');
        largest = Math.max(largest, status.databaseBytes);
      }
    };
    const beganMs = performance.now();
    for (let i = 0; i < OVERWRITES; i++) {
      expect(await driver.write({ chunk: 0 }, pattern(chunkBytes, i))).toBe(0);
      if (i % 500 === 0) await look();
    }
    await compactor.close();
    await look();
    const seconds = (performance.now() - beganMs) / 1000;
    console.log(
      `${OVERWRITES} overwrites of ${chunkBytes} bytes in ${seconds.toFixed(0)} s ` +
        `(${(OVERWRITES / seconds).toFixed(0)}/s); largest database ${(largest / 1e6).toFixed(1)} MB`,
    );
    expect(failures).toEqual([]);
    expect(largest).toBeLessThan(DATABASE_BYTES_MAX);
    expectBytes(await driver.read({ chunk: 0 }, chunkBytes), pattern(chunkBytes, OVERWRITES - 1));
    await store.close();
  });
});
