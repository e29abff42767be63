/**
 * Writes that were acknowledged and that no flush covers yet: what a crash may undo.
 *
 * A sector that has such writes may hold, after a crash, what it held before the first of them, or
 * what any of them wrote.
 */
import { assert } from '../assert';
import { MODEL_UNFLUSHED_MAX } from './limits';
import { VALUE_ABSENT, VALUE_ANY } from './sector-value';
import { SectorTable } from './sector-table';
import { ValueTable } from './value-table';

/** Columns of one write: sector, count, value, and 1 where it may have failed. */
const COLUMNS = 4;

export class UnflushedWrites {
  /** For each sector with such writes: what survives a crash for certain. */
  private readonly durable = new ValueTable();
  /** Sectors whose writes were dropped at the limit, and that no flush has covered since. */
  private readonly forgotten = new SectorTable();
  private log = new Float64Array(COLUMNS * 1024);
  /** Position of the log's first and next entry since the beginning of time. */
  private first = 0;
  private next = 0;

  constructor(private readonly limit = MODEL_UNFLUSHED_MAX) {}

  /** The place after the last write: a flush that starts now covers what is before it. */
  get mark(): number {
    return this.next;
  }

  /** To be called before `current` takes the write over. */
  add(current: ValueTable, sector: number, count: number, value: number, maybe: boolean): void {
    if (this.next - this.first >= this.limit) this.forgetOldest();
    for (let s = sector; s < sector + count; s++) this.remember(current, s);
    this.append(sector, count, value, maybe);
  }

  /** As `add`, of a range of any length, for those sectors only that `current` knows. */
  addSparse(current: ValueTable, sector: number, count: number, value: number): void {
    current.table.forEachSet(sector, count, (s) => this.add(current, s, 1, value, true));
  }

  /** A write that was durable when it was acknowledged (a barrier). */
  addDurable(sector: number, count: number, value: number): void {
    for (let s = sector; s < sector + count; s++) {
      if (this.durable.get(s) !== VALUE_ABSENT) this.durable.set(s, value);
    }
  }

  /** A flush that started at `mark` was acknowledged. */
  flushedTo(mark: number): void {
    assert(mark <= this.next, 'a flush covers writes of the past');
    if (mark >= this.first) this.forgotten.clear();
    for (; this.first < mark; this.first++) this.settle(this.first);
    if (this.first === this.next) this.durable.clear();
  }

  /** The back end died: `current` becomes what may be on the disk now. */
  crash(current: ValueTable): void {
    const touched = new SectorTable();
    for (let entry = this.first; entry < this.next; entry++) {
      this.forEachSector(entry, (sector, value) => {
        this.durable.allow(sector, value);
        touched.set(sector, 1);
      });
    }
    this.forgotten.forEachSector((sector) => {
      this.durable.set(sector, VALUE_ANY);
      touched.set(sector, 1);
    });
    touched.forEachSector((sector) => current.copy(this.durable, sector));
    this.forgotten.clear();
    this.first = this.next;
    this.durable.clear();
  }

  private remember(current: ValueTable, sector: number): void {
    if (this.durable.get(sector) === VALUE_ABSENT) this.durable.copy(current, sector);
  }

  private append(sector: number, count: number, value: number, maybe: boolean): void {
    const entries = this.next - this.first;
    if ((entries + 1) * COLUMNS > this.log.length) this.grow();
    const at = (this.next * COLUMNS) % this.log.length;
    this.log[at] = sector;
    this.log[at + 1] = count;
    this.log[at + 2] = value;
    this.log[at + 3] = maybe ? 1 : 0;
    this.next++;
  }

  private grow(): void {
    const grown = new Float64Array(this.log.length * 2);
    for (let entry = this.first; entry < this.next; entry++) {
      const from = (entry * COLUMNS) % this.log.length;
      grown.set(this.log.subarray(from, from + COLUMNS), (entry * COLUMNS) % grown.length);
    }
    this.log = grown;
  }

  private forgetOldest(): void {
    const until = this.first + Math.ceil(this.limit / 2);
    for (; this.first < until; this.first++) {
      this.settle(this.first);
      this.forEachSector(this.first, (sector) => this.forgotten.set(sector, 1));
    }
  }

  /** The entry's write is as durable as what was before it. */
  private settle(entry: number): void {
    this.forEachSector(entry, (sector, value, maybe) => {
      if (maybe) this.durable.allow(sector, value);
      else this.durable.set(sector, value);
    });
  }

  private forEachSector(
    entry: number,
    visit: (sector: number, value: number, maybe: boolean) => void,
  ): void {
    const at = (entry * COLUMNS) % this.log.length;
    const end = this.log[at] + this.log[at + 1];
    for (let sector = this.log[at]; sector < end; sector++) {
      visit(sector, this.log[at + 2], this.log[at + 3] === 1);
    }
  }
}
