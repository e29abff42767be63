/** Which volumes an etcd store takes. */
import { TapdiskError } from '../../errors';
import { ETCD_CHUNK_BYTES_MAX, ETCD_VOLUME_BYTES_MAX } from '../limits';

/**
 * To be asked before a volume is made.
 *
 * @throws TapdiskError VOLUME_TOO_LARGE_FOR_STORE, CHUNK_TOO_LARGE_FOR_STORE
 */
export function checkEtcdVolume(volume: {
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
}): void {
  const { name, sizeBytes, chunkBytes } = volume;
  if (sizeBytes > ETCD_VOLUME_BYTES_MAX) {
    throw new TapdiskError(
      'VOLUME_TOO_LARGE_FOR_STORE',
      `volume "${name}" would have ${sizeBytes} bytes, and one whose chunks lie in etcd may have ` +
        `${ETCD_VOLUME_BYTES_MAX}; make it smaller, or in a pool with another store`,
    );
  }
  if (chunkBytes > ETCD_CHUNK_BYTES_MAX) {
    throw new TapdiskError(
      'CHUNK_TOO_LARGE_FOR_STORE',
      `chunks of ${chunkBytes} bytes do not fit into etcd, which takes ${ETCD_CHUNK_BYTES_MAX}; ` +
        `give a smaller chunk size`,
    );
  }
}
