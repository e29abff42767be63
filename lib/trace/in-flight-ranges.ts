/** The sector ranges of requests in flight, to keep overlapping ones apart. */

/** A few dozen slots: a look at each is cheaper than any tree. */
export class InFlightRanges {
  private readonly first: Float64Array;
  private readonly end: Float64Array;
  private readonly writes: Uint8Array;

  constructor(private readonly slots: number) {
    this.first = new Float64Array(slots);
    this.end = new Float64Array(slots);
    this.writes = new Uint8Array(slots);
  }

  /** Whether a request must wait: it overlaps one in flight, and one of the two writes. */
  conflicts(sector: number, sectorCount: number, writes: boolean): boolean {
    const end = sector + sectorCount;
    for (let slot = 0; slot < this.slots; slot++) {
      const overlaps = sector < this.end[slot] && this.first[slot] < end;
      if (overlaps && (writes || this.writes[slot] === 1)) return true;
    }
    return false;
  }

  add(slot: number, sector: number, sectorCount: number, writes: boolean): void {
    this.first[slot] = sector;
    this.end[slot] = sector + sectorCount;
    this.writes[slot] = writes ? 1 : 0;
  }

  remove(slot: number): void {
    this.first[slot] = 0;
    this.end[slot] = 0;
  }
}
