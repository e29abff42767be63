/** The stand-in front end's memory of what it asked: enough to ask it again. */
import { assert } from '../../assert';

const FREE = 0;
const ACQUIRED = 1;
const IN_FLIGHT = 2;

/** One entry a slot; a slot is also the request's id. */
export class SlotTable {
  /** Slots whose request was submitted and not answered. */
  inFlight = 0;
  readonly operation: Uint8Array;
  readonly sector: Float64Array;
  readonly sectorCount: Float64Array;

  private readonly state: Uint8Array;
  private readonly order: Float64Array;
  private readonly freeSlots: Uint16Array;
  private freeCount: number;
  private submitted = 0;

  constructor(readonly slots: number) {
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

  submit(slot: number, operation: number, sector: number, sectorCount: number): void {
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
