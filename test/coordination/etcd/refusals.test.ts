/** What etcd holds and this program does not understand is refused by name, and left as it is. */
import { MAP_PAGE_ENTRIES } from '../../../lib/coordination/coordination';
import { openEtcdCoordination } from '../../../lib/coordination/etcd/etcd-coordination';
import { readHostIdentity } from '../../../lib/coordination/etcd/host-identity';
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import { encodeMapPage } from '../../../lib/coordination/etcd/map-pages';
import { CHUNK, commit, loadEntries, READ, refusal, WRITE } from '../pool-under-test';
import { simEtcd } from '../../simulation/sim-etcd';
import { VirtualHosts, type Seat } from './virtual-hosts';

describe('in etcd', () => {
  let hosts: VirtualHosts;
  let seat: Seat;
  let uuid: string;
  let layer: number;

  beforeEach(async () => {
    hosts = await VirtualHosts.make();
    seat = hosts.seat('a');
    const volume = { name: 'disk1', sizeBytes: 3000 * CHUNK, chunkBytes: CHUNK };
    ({ uuid, layer } = await hosts.resolve(seat.view.create(volume)));
  });

  const changed = (key: string, change: object): string =>
    JSON.stringify({ ...hosts.json(key), ...change });

  const mapPage = async (): Promise<string> => {
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    await hosts.resolve(commit(attachment, [{ chunk: 5, layer }]));
    await hosts.resolve(attachment.release());
    return `map/${uuid}/00000000`;
  };

  it.each([
    ['that is not JSON', () => 'nonsense', 'VOLUME_RECORD_CORRUPT'],
    [
      'of a newer version',
      () => changed('volumes/disk1', { version: 2, more: 1 }),
      'VOLUME_RECORD_VERSION_UNKNOWN',
    ],
    ['with a field more', () => changed('volumes/disk1', { more: 1 }), 'VOLUME_RECORD_CORRUPT'],
    [
      'copied from another name',
      () => changed('volumes/disk1', { name: 'b' }),
      'VOLUME_RECORD_CORRUPT',
    ],
    [
      'of an impossible size',
      () => changed('volumes/disk1', { sizeBytes: 1025 }),
      'VOLUME_RECORD_CORRUPT',
    ],
  ])('a record %s is refused', async (_what, value, code) => {
    const damaged = value();
    hosts.damage('volumes/disk1', damaged);
    for (const call of [
      seat.view.read('disk1'),
      seat.view.list(),
      seat.view.attach('disk1', WRITE),
      seat.view.attach('disk1', READ),
      seat.view.delete('disk1'),
      seat.view.standBy('disk1'),
    ]) {
      call.catch(() => {});
      await expect(hosts.resolve(call as Promise<unknown>)).rejects.toMatchObject({
        code,
        message: expect.stringContaining('etcd key volumes/disk1') as string,
      });
    }
    expect(await hosts.resolve(seat.view.names())).toEqual(['disk1']);
    expect(hosts.at('volumes/disk1')!.value.toString()).toBe(damaged);
  });

  it.each([
    ['state/', { inUse: 'maybe' }, 'VOLUME_STATE_CORRUPT'],
    ['state/', { version: 2 }, 'VOLUME_STATE_VERSION_UNKNOWN'],
    ['attach/', { pid: 'x' }, 'ATTACH_HOLDER_CORRUPT'],
    ['attach/', { version: 9 }, 'ATTACH_HOLDER_VERSION_UNKNOWN'],
  ])('%s with %j is refused', async (prefix, change, code) => {
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    hosts.damage(prefix + uuid, changed(prefix + uuid, change));
    const other = hosts.seat('b');
    for (const call of [other.view.attach('disk1', WRITE), other.view.delete('disk1')]) {
      call.catch(() => {});
      await expect(hosts.resolve(call as Promise<unknown>)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(prefix + uuid) as string,
      });
    }
    expect(attachment.record.epoch).toBe(1);
  });

  it('a volume without a state is refused', async () => {
    const gone = { delete: { key: `state/${uuid}` } };
    hosts.cluster.keys.transaction({ compare: [], success: [gone] });
    await expect(hosts.resolve(seat.view.read('disk1'))).rejects.toEqual(
      refusal('VOLUME_STATE_CORRUPT'),
    );
    await expect(hosts.resolve(seat.view.list())).rejects.toEqual(refusal('VOLUME_STATE_CORRUPT'));
  });

  it.each([
    ['nonsense', 'LAYER_COUNTER_CORRUPT'],
    ['{"version":2,"last":1}', 'LAYER_COUNTER_VERSION_UNKNOWN'],
    ['{"version":1,"last":4294967295}', 'LAYERS_EXHAUSTED'],
  ])('a layer counter of %j gives out nothing', async (value, code) => {
    hosts.damage('layer-counter', value);
    const making = seat.view.create({ name: 'b', sizeBytes: 512, chunkBytes: CHUNK });
    await expect(hosts.resolve(making)).rejects.toEqual(refusal(code));
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    await expect(hosts.resolve(attachment.startLayer())).rejects.toEqual(refusal(code));
    expect(hosts.at('layer-counter')!.value.toString()).toBe(value);
  });

  it('a layer counter that is gone is not begun anew', async () => {
    const success = [{ delete: { key: 'layer-counter' } }];
    hosts.cluster.keys.transaction({ compare: [], success });
    const making = seat.view.create({ name: 'b', sizeBytes: 512, chunkBytes: CHUNK });
    await expect(hosts.resolve(making)).rejects.toEqual(refusal('LAYER_COUNTER_CORRUPT'));
  });

  it.each([
    ['nonsense', 'DELETION_CORRUPT'],
    ['{"version":7}', 'DELETION_VERSION_UNKNOWN'],
  ])('a deletion of %j is refused', async (value, code) => {
    hosts.damage(`deletions/${uuid}`, value);
    await expect(hosts.resolve(seat.view.pendingDeletions())).rejects.toEqual(refusal(code));
  });

  it.each<[string, (page: Buffer) => Buffer, string, string]>([
    ['cut short', (page) => page.subarray(0, 100), 'MAP_CORRUPT', 'checksum'],
    ['empty', (page) => page.subarray(0, 0), 'MAP_CORRUPT', 'begin'],
    ['of another magic', (page) => flipped(page, 0), 'MAP_CORRUPT', 'begin'],
    ['of a newer version', (page) => flipped(page, 4), 'MAP_VERSION_UNKNOWN', 'version'],
    ['with a bit flipped', (page) => flipped(page, 40), 'MAP_CORRUPT', 'checksum'],
  ])('a map page %s is refused', async (_what, change, code, word) => {
    const key = await mapPage();
    hosts.damage(key, change(Buffer.from(hosts.at(key)!.value)));
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    const problem = { code, message: expect.stringContaining(word) as string };
    await expect(hosts.resolve(loadEntries(attachment))).rejects.toMatchObject(problem);
    await expect(hosts.resolve(seat.view.countChunks('disk1'))).rejects.toMatchObject(problem);
    expect(await hosts.resolve(commit(attachment, [{ chunk: 6, layer }]))).not.toBe(0);
  });

  it('a map page of more entries than a page has is refused', async () => {
    const entries = new Uint32Array(MAP_PAGE_ENTRIES + 1).fill(layer);
    hosts.damage(await mapPage(), encodeMapPage(0, entries));
    await expect(hosts.resolve(seat.view.countChunks('disk1'))).rejects.toMatchObject({
      code: 'MAP_CORRUPT',
      message: expect.stringContaining('4116 bytes') as string,
    });
  });

  it("a map page under another page's key is refused", async () => {
    const key = await mapPage();
    hosts.damage(`map/${uuid}/00000001`, hosts.at(key)!.value);
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    await expect(hosts.resolve(loadEntries(attachment))).rejects.toEqual(refusal('MAP_CORRUPT'));
  });

  it('a map page beyond the volume is refused', async () => {
    await mapPage();
    const [page] = await pageOf(hosts, seat, 1000);
    hosts.damage(`map/${uuid}/00000009`, page);
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    await expect(hosts.resolve(loadEntries(attachment))).rejects.toEqual(refusal('MAP_CORRUPT'));
  });

  it('a map entry of a foreign layer is refused', async () => {
    const attachment = await hosts.resolve(seat.view.attach('disk1', WRITE));
    await hosts.resolve(commit(attachment, [{ chunk: 2047, layer: 4711 }]));
    await expect(hosts.resolve(loadEntries(attachment))).rejects.toMatchObject({
      code: 'MAP_CORRUPT',
      message: expect.stringContaining('chunk 2047 names layer 4711') as string,
    });
  });
});

/** A page that is sound in itself, of another volume's page 9. */
async function pageOf(hosts: VirtualHosts, seat: Seat, pages: number): Promise<[Buffer]> {
  const volume = { name: 'large', sizeBytes: pages * MAP_PAGE_ENTRIES * CHUNK, chunkBytes: CHUNK };
  const { uuid, layer } = await hosts.resolve(seat.view.create(volume));
  const attachment: EtcdAttachment = await hosts.resolve(seat.view.attach('large', WRITE));
  const chunk = 9 * MAP_PAGE_ENTRIES;
  await hosts.resolve(commit(attachment, [{ chunk, layer }]));
  return [hosts.at(`map/${uuid}/00000009`)!.value];
}

function flipped(page: Buffer, at: number): Buffer {
  page[at] ^= 2;
  return page;
}

test('a lease is between two seconds and five minutes', () => {
  const { etcd, clock } = simEtcd();
  const open = (leaseTtlMs: number): unknown =>
    openEtcdCoordination({
      etcd,
      clock,
      host: readHostIdentity(),
      settings: { leaseTtlMs, storeFences: false },
    });
  for (const leaseTtlMs of [0, 1999, 300_001, NaN]) {
    expect(() => open(leaseTtlMs)).toThrow(refusal('LEASE_TTL_INVALID') as Error);
  }
  expect(open(2000)).toBeDefined();
});
