/** Transfers cover a request's bytes once, in order, and never cross a chunk or a run. */
import fc from 'fast-check';
import { SECTOR_BYTES } from '../../lib/sector';
import type { ChunkIo } from '../../lib/store/chunk-io';
import { heapArea } from '../../lib/store/memory-area';
import { REQUEST_WRITE, VbdRequest } from '../../lib/vbd/request';
import { splitRequest, transfersNeeded } from '../../lib/vbd/split-request';
import { TransferPool } from '../../lib/vbd/transfer-pool';
import type { Volume } from '../../lib/volume/volume';
import { firstSeed } from '../volume/doubles/random';

const CHUNK_BYTES = 4096;
const owner = { chunkIoDone: () => {} };

test('whatever the runs, sectors and chunks', () => {
  const runSectors = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(runSectors, fc.integer({ min: 0, max: 2 ** 40 }), (runs, sector) => {
      const request = new VbdRequest(3);
      const bytes = runs.reduce((sum, run) => sum + run * SECTOR_BYTES, 0);
      Object.assign(request, { operation: REQUEST_WRITE, sector, runCount: runs.length });
      request.sectorCount = bytes / SECTOR_BYTES;
      request.memory = heapArea(bytes);
      let memoryEnd = bytes;
      for (const [i, run] of runs.entries()) {
        memoryEnd -= run * SECTOR_BYTES;
        request.runOffsets[i] = memoryEnd;
        request.runLengths[i] = run * SECTOR_BYTES;
      }
      const transfers: ChunkIo[] = [];
      const volume = { chunkBytes: CHUNK_BYTES, submit: (io: ChunkIo) => transfers.push(io) };
      const pool = new TransferPool(1000);
      const count = splitRequest(request, volume as unknown as Volume, pool, owner);
      expect(count).toBe(transfers.length);
      expect(pool.available).toBe(1000 - count);
      expect(count).toBeLessThanOrEqual(transfersNeeded(request, CHUNK_BYTES));

      const wanted: number[] = [];
      for (let i = 0; i < runs.length; i++) {
        for (let at = 0; at < request.runLengths[i]; at += SECTOR_BYTES) {
          wanted.push(request.runOffsets[i] + at);
        }
      }
      let position = sector * SECTOR_BYTES;
      const got: number[] = [];
      for (const io of transfers) {
        expect(io.chunk * CHUNK_BYTES + io.offset).toBe(position);
        expect(io.offset + io.length).toBeLessThanOrEqual(CHUNK_BYTES);
        expect(io.length).toBeGreaterThan(0);
        expect(io.tag).toBe(3);
        for (let at = 0; at < io.length; at += SECTOR_BYTES) got.push(io.memoryOffset + at);
        position += io.length;
      }
      expect(got).toEqual(wanted);
    }),
    { seed: firstSeed(), numRuns: 300 },
  );
});
