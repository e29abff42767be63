/** Which volumes an etcd store takes. */
import { checkEtcdVolume } from '../../../lib/store/etcd/volume-size';
import { ETCD_CHUNK_BYTES_MAX, ETCD_VOLUME_BYTES_MAX } from '../../../lib/store/limits';

const fitting = {
  name: 'disk1',
  sizeBytes: ETCD_VOLUME_BYTES_MAX,
  chunkBytes: ETCD_CHUNK_BYTES_MAX,
};

test('the largest volume and chunk fit', () => {
  expect(() => checkEtcdVolume(fitting)).not.toThrow();
});

test.each([
  ['VOLUME_TOO_LARGE_FOR_STORE', { sizeBytes: ETCD_VOLUME_BYTES_MAX + 512 }],
  ['CHUNK_TOO_LARGE_FOR_STORE', { chunkBytes: 2 * ETCD_CHUNK_BYTES_MAX }],
])('%s', (code, parts) => {
  expect(() => checkEtcdVolume({ ...fitting, ...parts })).toThrow(
    expect.objectContaining({ code }) as Error,
  );
});
