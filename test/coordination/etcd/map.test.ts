/** The chunk map in etcd: large ones, many pages at once, a full database, memory that is bounded. */
import { MAP_PAGE_ENTRIES } from '../../../lib/coordination/coordination';
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import { encodeMapPage } from '../../../lib/coordination/etcd/map-pages';
import { PageCache } from '../../../lib/coordination/etcd/page-cache';
import { WarmMap } from '../../../lib/coordination/etcd/warm-map';
import { EtcdContext } from '../../../lib/coordination/etcd/context';
import { readHostIdentity } from '../../../lib/coordination/etcd/host-identity';
import { CHUNK, commit, loadEntries, WRITE } from '../pool-under-test';
import { REPLY_LOST } from '../../simulation/sim-etcd';
import { VirtualHosts, type Seat } from './virtual-hosts';

const ENOSPC = 28;
const TIB = 2 ** 40;

describe('a chunk map in etcd', () => {
  let hosts: VirtualHosts;
  let a: Seat;

  beforeEach(async () => {
    hosts = await VirtualHosts.make();
    a = hosts.seat('a');
  });

  const make = async (
    sizeBytes: number,
    chunkBytes = CHUNK,
  ): Promise<{ attachment: EtcdAttachment; uuid: string; layer: number }> => {
    const { uuid, layer } = await hosts.resolve(
      a.view.create({ name: 'v', sizeBytes, chunkBytes }),
    );
    return { attachment: await hosts.resolve(a.view.attach('v', WRITE)), uuid, layer };
  };

  it('of 2^31 chunks has keys only for the pages that were touched', async () => {
    const { attachment, uuid, layer } = await make(2 ** 53 - 512);
    const chunks = [0, 2 ** 20, 2 ** 31 - 1];
    expect(
      await hosts.resolve(
        commit(
          attachment,
          chunks.map((chunk) => ({ chunk, layer })),
        ),
      ),
    ).toBe(0);
    expect(hosts.keysBelow('map/').map(({ key }) => key)).toEqual([
      `map/${uuid}/00000000`,
      `map/${uuid}/00000400`,
      `map/${uuid}/001fffff`,
    ]);
    expect(await hosts.resolve(loadEntries(attachment))).toEqual(chunks.map((c) => [c, layer]));
  });

  it('of 8 TiB, every page used, is loaded some pages at a time', async () => {
    const { attachment, uuid, layer } = await make(8 * TIB);
    const pages = (8 * TIB) / CHUNK / MAP_PAGE_ENTRIES;
    expect(pages).toBe(2048);
    const value = encodeMapPageOf(layer);
    for (let page = 0; page < pages; page++) {
      hosts.damage(`map/${uuid}/${page.toString(16).padStart(8, '0')}`, value(page));
    }
    const replies: number[] = [];
    const range = a.etcd.range.bind(a.etcd);
    a.etcd.range = async (asked, setting) => {
      const reply = await range(asked, setting);
      replies.push(reply.keyValues.reduce((sum, { value: v }) => sum + v.length, 0));
      return reply;
    };
    let told = 0;
    await hosts.resolve(
      attachment.map.load((pageIndex, entries) => {
        expect(pageIndex).toBe(told++);
        expect(entries.length).toBe(MAP_PAGE_ENTRIES);
      }),
    );
    expect(told).toBe(pages);
    expect(Math.max(...replies)).toBeLessThan(2 ** 20);
    // An owner that has read it all changes an entry without reading again.
    replies.length = 0;
    expect(await hosts.resolve(commit(attachment, [{ chunk: 5, layer: 0 }]))).toBe(0);
    expect(replies).toEqual([]);
  });

  it('takes a commit of more pages than one transaction, and 1,000 commits in few', async () => {
    const { attachment, layer } = await make(8 * TIB);
    let transactions = 0;
    const transact = a.etcd.transaction.bind(a.etcd);
    a.etcd.transaction = (transaction, setting) => {
      if (transaction.success.some((operation) => 'put' in operation)) transactions++;
      return transact(transaction, setting);
    };
    const spread = Array.from({ length: 500 }, (_, i) => ({ chunk: i * 4000, layer }));
    expect(await hosts.resolve(commit(attachment, spread))).toBe(0);
    expect(transactions).toBe(5);
    transactions = 0;
    const many = Array.from({ length: 1000 }, (_, i) => commit(attachment, [{ chunk: i, layer }]));
    expect(await hosts.resolve(Promise.all(many))).toEqual(Array(1000).fill(0));
    expect(transactions).toBeLessThanOrEqual(3);
    expect((await hosts.resolve(loadEntries(attachment))).length).toBe(1499);
  });

  it('keeps few pages in memory, and reads the others again when they change', async () => {
    const cache = new PageCache(3);
    const page = (pageIndex: number): Parameters<PageCache['put']>[0] => {
      return { pageIndex, entries: new Uint32Array(1), modRevision: pageIndex };
    };
    for (const index of [1, 2, 3]) cache.put(page(index));
    cache.get(1);
    cache.put(page(4));
    expect([1, 2, 3, 4].map((index) => cache.get(index) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect(cache.size).toBe(3);
    const { attachment, layer } = await make(32 * TIB, 1024 * 1024);
    const before = Array.from({ length: 4500 }, (_, i) => ({ chunk: i * MAP_PAGE_ENTRIES, layer }));
    expect(await hosts.resolve(commit(attachment, before))).toBe(0);
    const after = before.map(({ chunk }) => ({ chunk: chunk + 1, layer }));
    expect(await hosts.resolve(commit(attachment, after))).toBe(0);
    expect((await hosts.resolve(loadEntries(attachment))).length).toBe(9000);
  });

  it('is not kept warm where it has too many pages, and is read whole then', async () => {
    const { attachment, layer } = await make(TIB);
    const record = attachment.record;
    const context = new EtcdContext({
      etcd: a.etcd,
      clock: a.clock,
      host: readHostIdentity(),
      settings: { storeFences: false },
    });
    const warm = new WarmMap(context, record.uuid, 2);
    for (const [chunk, isKept] of [
      [0, true],
      [1024, true],
      [2048, false],
    ] as const) {
      expect(await hosts.resolve(commit(attachment, [{ chunk, layer }]))).toBe(0);
      await hosts.resolve(warm.refresh());
      expect(warm.isKept).toBe(isKept);
    }
    expect(warm.take()).toEqual([]);
  });

  it('warmed reads only what was changed since', async () => {
    const { attachment, layer } = await make(8 * TIB);
    const b = hosts.seat('b');
    const spread = Array.from({ length: 300 }, (_, i) => ({ chunk: i * 4000, layer }));
    expect(await hosts.resolve(commit(attachment, spread))).toBe(0);
    const standby = await hosts.resolve(b.view.standBy('v'));
    expect(await hosts.resolve(commit(attachment, [{ chunk: 4001, layer }]))).toBe(0);
    await hosts.resolve(attachment.handOver());
    const next = await hosts.resolve(standby.attached);
    let pagesRead = 0;
    const range = b.etcd.range.bind(b.etcd);
    b.etcd.range = async (asked, setting) => {
      const reply = await range(asked, setting);
      pagesRead += reply.keyValues.length;
      return reply;
    };
    const entries = await hosts.resolve(loadEntries(next));
    expect(entries.length).toBe(301);
    expect(pagesRead).toBe(1);
  });

  it('tells a full database as a full disk, and goes on when there is room', async () => {
    const { attachment, layer } = await make(TIB);
    expect(await hosts.resolve(commit(attachment, [{ chunk: 0, layer }]))).toBe(0);
    hosts.cluster.keys.hasNoSpaceAlarm = true;
    expect(await hosts.resolve(commit(attachment, [{ chunk: 1, layer }]))).toBe(ENOSPC);
    await hosts.time.advance(60_000);
    expect(attachment.fence.state()).toBe(0);
    hosts.cluster.keys.hasNoSpaceAlarm = false;
    expect(await hosts.resolve(commit(attachment, [{ chunk: 2, layer }]))).toBe(0);
    expect(await hosts.resolve(loadEntries(attachment))).toEqual([
      [0, layer],
      [2, layer],
    ]);
  });

  it('with a full database nothing is attached, and a release leaves the volume free', async () => {
    const { attachment } = await make(TIB);
    hosts.cluster.keys.hasNoSpaceAlarm = true;
    const full = expect.objectContaining({ code: 'ETCD_NO_SPACE' }) as unknown;
    await expect(hosts.resolve(attachment.release())).rejects.toEqual(full);
    expect(hosts.keysBelow('attach/')).toEqual([]);
    await expect(hosts.resolve(a.view.attach('v', WRITE))).rejects.toEqual(full);
    hosts.cluster.keys.hasNoSpaceAlarm = false;
    const next = await hosts.resolve(a.view.attach('v', WRITE));
    expect(next.uncleanBefore).toBe(true);
  });

  it('never tells that a commit failed which may still have its effect', async () => {
    const { attachment, layer } = await make(TIB);
    a.etcd.fault = ({ transaction }) => {
      if (transaction?.success.some((operation) => 'put' in operation) !== true) return null;
      a.etcd.fault = null;
      return REPLY_LOST;
    };
    const committing = commit(attachment, [{ chunk: 1, layer }]);
    await hosts.time.advance(1);
    hosts.cluster.keys.hasNoSpaceAlarm = true;
    let errno = -1;
    void committing.then((end) => (errno = end));
    await hosts.time.advance(60_000);
    expect(errno).toBe(-1);
    hosts.cluster.keys.hasNoSpaceAlarm = false;
    expect(await hosts.resolve(committing)).toBe(0);
  });
});

/** Pages wholly of one layer. */
function encodeMapPageOf(layer: number): (page: number) => Buffer {
  const entries = new Uint32Array(MAP_PAGE_ENTRIES).fill(layer);
  return (page) => encodeMapPage(page, entries);
}
