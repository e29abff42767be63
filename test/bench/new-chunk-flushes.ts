/** What a flush costs that has a new chunk to make durable: its data, and its entry in the map. */
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';
import { BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_WRITE, BLKIF_RSP_OKAY } from '../../lib/ring';
import { KIB, SECTOR_BYTES } from './settings';

const WRITE_BYTES = 4 * KIB;

/**
 * Writes 4 KiB into each of `count` chunks that nothing was written to before, and flushes after
 * each; one request at a time. @returns milliseconds of each write and flush together
 */
export async function newChunkFlushes(
  ring: string,
  count: number,
  chunkBytes: number,
): Promise<number[]> {
  let answered: (status: number) => void = () => {};
  const guest = await ShmGuest.open(ring, {
    completed: (slot, status) => {
      guest.releaseSlot(slot);
      answered(status);
    },
  });
  const takenMs: number[] = [];
  for (let chunk = 0; chunk < count; chunk++) {
    const startedMs = performance.now();
    const sector = (chunk * chunkBytes) / SECTOR_BYTES;
    await request(BLKIF_OP_WRITE, sector, WRITE_BYTES / SECTOR_BYTES);
    await request(BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
    takenMs.push(performance.now() - startedMs);
  }
  guest.close();
  return takenMs;

  function request(operation: number, sector: number, count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      answered = (status) => {
        if (status === BLKIF_RSP_OKAY) resolve();
        else reject(new Error('a request of the bench failed'));
      };
      guest.submit(guest.acquireSlot(), operation, sector, count);
      guest.push();
    });
  }
}
