/** The stand-in front end's memory of what it asked: enough to ask it again. */
import { assert } from '../../assert';
import { SECTORS_PER_PAGE } from '../../ring';

const FREE = 0;
const ACQUIRED = 1;
const IN_FLIGHT = 2;

/** One entry a slot; a slot is also the request's id. */
export class SlotTable {
  /** Slots whose request was submitted and not answered. */
  inFlight = 0;
  readonly operation: Uint8Array;
  readonly sector: Float64Array;
  /** A discard's extent; of the others what their segments sum up to. */
  readonly sectorCount: Float64Array;
  /** Segment s of a slot lies in the slot's page s; its sectors are at slot * segmentsMax + s. */
  readonly segmentCount: Uint16Array;
  readonly segmentFirst: Uint8Array;
  readonly segmentLast: Uint8Array;

  private readonly state: Uint8Array;
  private readonly order: Float64Array;
  private readonly freeSlots: Uint16Array;
  private freeCount: number;
  private submitted = 0;

  constructor(
    readonly slots: number,
    readonly segmentsMax: number,
  ) {
    this.segmentCount = new Uint16Array(slots);
    this.segmentFirst = new Uint8Array(slots * segmentsMax);
    this.segmentLast = new Uint8Array(slots * segmentsMax);
    this.operation = new Uint8Array(slots);
    this.sector = new Float64Array(slots);
    this.sectorCount = new Float64Array(slots);
    this.state = new Uint8Array(slots);
    this.order = new Float64Array(slots);
    this.freeSlots = Uint16Array.from({ length: slots }, (_, index) => slots - 1 - index);
    this.freeCount = slots;
  }

  /** A slot nobody uses, or -1. */
  acquire(): number {
    if (this.freeCount === 0) return -1;
    const slot = this.freeSlots[--this.freeCount];
    this.state[slot] = ACQUIRED;
    return slot;
  }

  /** Gives back a slot that was acquired, or whose request was answered. */
  release(slot: number): void {
    assert(this.state[slot] === ACQUIRED, 'a slot given back is acquired and not in flight');
    this.state[slot] = FREE;
    this.freeSlots[this.freeCount++] = slot;
  }

  /** A request without data: a discard, or a flush of nothing. */
  submitBare(slot: number, operation: number, sector: number, sectorCount: number): void {
    this.segmentCount[slot] = 0;
    this.enter(slot, operation, sector, sectorCount);
  }

  /** A request whose data fills the slot's pages from the first byte on. */
  submitPacked(slot: number, operation: number, sector: number, sectorCount: number): void {
    const at = slot * this.segmentsMax;
    let segments = 0;
    for (let left = sectorCount; left > 0; left -= SECTORS_PER_PAGE) {
      assert(segments < this.segmentsMax, 'a request fits its slot');
      this.segmentFirst[at + segments] = 0;
      this.segmentLast[at + segments] = Math.min(left, SECTORS_PER_PAGE) - 1;
      segments++;
    }
    this.segmentCount[slot] = segments;
    this.enter(slot, operation, sector, sectorCount);
  }

  /** A request of segments of any shape, right or wrong: the back end judges them. */
  submitShaped(
    slot: number,
    operation: number,
    sector: number,
    segments: number,
    first: Uint8Array,
    last: Uint8Array,
  ): void {
    assert(segments <= this.segmentsMax, 'a request fits its slot');
    const at = slot * this.segmentsMax;
    let sectorCount = 0;
    for (let segment = 0; segment < segments; segment++) {
      this.segmentFirst[at + segment] = first[segment];
      this.segmentLast[at + segment] = last[segment];
      sectorCount += last[segment] - first[segment] + 1;
    }
    this.segmentCount[slot] = segments;
    this.enter(slot, operation, sector, sectorCount);
  }

  private enter(slot: number, operation: number, sector: number, sectorCount: number): void {
    assert(this.state[slot] === ACQUIRED, 'a request is submitted in an acquired slot');
    this.state[slot] = IN_FLIGHT;
    this.operation[slot] = operation;
    this.sector[slot] = sector;
    this.sectorCount[slot] = sectorCount;
    this.order[slot] = this.submitted++;
    this.inFlight++;
  }

  isInFlight(slot: number): boolean {
    return this.state[slot] === IN_FLIGHT;
  }

  /** Answered: the slot is its user's again. */
  answered(slot: number): void {
    assert(this.state[slot] === IN_FLIGHT, 'an answered request was in flight');
    this.state[slot] = ACQUIRED;
    this.inFlight--;
  }

  /** Slots in flight, in the order in which they were submitted. */
  unanswered(): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.slots; slot++) if (this.isInFlight(slot)) slots.push(slot);
    return slots.sort((a, b) => this.order[a] - this.order[b]);
  }
}
