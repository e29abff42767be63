/** A trace that reads every sector that a disk model knows something of: the last check of all. */
import { REQUEST_READ } from '../vbd/request';
import type { DiskModel } from './disk-model';
import { BLOCK_RECORDS_MAX } from './limits';
import { TABLE_PAGE_SECTORS } from './sector-table';
import { TraceBatch } from './trace-batch';

/** Sectors of one read at most: the ring's own limit splits it further. */
const READ_SECTORS_MAX = 2048;
const NO_BYTES = new Uint8Array(0);

/** Reads in the order of the sectors. The model may settle sectors meanwhile, not learn of more. */
export class ReadBack {
  constructor(private readonly model: DiskModel) {}

  /** Number of reads, for a progress bar. */
  get requests(): number {
    const ranges = this.ranges();
    let requests = 0;
    while (!ranges.next().done) requests++;
    return requests;
  }

  async *batches(): AsyncIterable<TraceBatch> {
    let batch = new TraceBatch(BLOCK_RECORDS_MAX, 0, NO_BYTES);
    for (const [sector, sectorCount] of this.ranges()) {
      if (batch.count === BLOCK_RECORDS_MAX) {
        yield batch;
        batch = new TraceBatch(BLOCK_RECORDS_MAX, batch.firstRecord + batch.count, NO_BYTES);
      }
      batch.addPlain(0, REQUEST_READ, sector, sectorCount);
    }
    if (batch.count > 0) yield batch;
  }

  /** Known sectors that follow one another, as far as one read goes. */
  private *ranges(): Generator<[sector: number, sectorCount: number]> {
    const { table } = this.model.current;
    const pages: number[] = [];
    table.forEachPage((firstSector) => pages.push(firstSector));
    pages.sort((a, b) => a - b);
    let first = -1;
    let end = -1;
    for (const page of pages) {
      for (let sector = page; sector < page + TABLE_PAGE_SECTORS; sector++) {
        if (table.get(sector) === 0) continue;
        if (sector === end && end - first < READ_SECTORS_MAX) {
          end++;
          continue;
        }
        if (first >= 0) yield [first, end - first];
        first = sector;
        end = sector + 1;
      }
    }
    if (first >= 0) yield [first, end - first];
  }
}
