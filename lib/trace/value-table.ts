/** What each sector of a disk may hold: one value, or one of several. */
import { MODEL_ALTERNATIVES_MAX, MODEL_SETS_MAX } from './limits';
import { SectorTable } from './sector-table';
import { VALUE_ABSENT, VALUE_ANY, VALUE_SET, VALUE_UNHEARD } from './sector-value';

export class ValueTable {
  readonly table: SectorTable;
  /** The values of every sector whose entry is VALUE_SET. */
  readonly sets = new Map<number, number[]>();

  constructor(pagesMax?: number) {
    this.table = new SectorTable(pagesMax);
  }

  /** VALUE_SET where the sector may hold one of `alternatives`. */
  get(sector: number): number {
    return this.table.get(sector);
  }

  set(sector: number, value: number): void {
    if (this.sets.size > 0) this.sets.delete(sector);
    this.table.set(sector, value);
  }

  alternatives(sector: number): readonly number[] {
    return this.sets.get(sector) ?? [this.table.get(sector)];
  }

  /** The sector may from now on hold `value` as well as what it could hold before. */
  allow(sector: number, value: number): void {
    const before = this.table.get(sector);
    if (before === value || before === VALUE_ANY) return;
    if (value === VALUE_ANY) {
      this.set(sector, VALUE_ANY);
    } else if (before === VALUE_SET) {
      this.widen(sector, value);
    } else if (this.sets.size >= MODEL_SETS_MAX) {
      this.table.set(sector, VALUE_ANY);
    } else {
      this.sets.set(sector, [before === VALUE_ABSENT ? VALUE_UNHEARD : before, value]);
      this.table.set(sector, VALUE_SET);
    }
  }

  /** Takes over what `from` allows in a sector; its absence becomes VALUE_UNHEARD. */
  copy(from: ValueTable, sector: number): void {
    const value = from.get(sector);
    this.set(sector, value === VALUE_ABSENT ? VALUE_UNHEARD : value);
    if (value === VALUE_SET) this.sets.set(sector, [...from.alternatives(sector)]);
  }

  clear(): void {
    this.sets.clear();
    this.table.clear();
  }

  private widen(sector: number, value: number): void {
    const values = this.sets.get(sector) ?? [];
    if (values.includes(value)) return;
    if (values.length >= MODEL_ALTERNATIVES_MAX) this.set(sector, VALUE_ANY);
    else values.push(value);
  }
}
