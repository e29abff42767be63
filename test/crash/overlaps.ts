/** Whether sectors meet those of a request in flight. */
export interface SectorRange {
  readonly sector: number;
  readonly count: number;
}

export function overlapsAny(
  others: Iterable<SectorRange>,
  { sector, count }: SectorRange,
): boolean {
  for (const other of others) {
    if (sector < other.sector + other.count && other.sector < sector + count) return true;
  }
  return false;
}
