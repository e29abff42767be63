/** A connection's requests between their header and the end of their reply, as flat arrays. */
import { assert } from '../../assert';
import { type Mapping, mapZeroed } from '../../../native-bindings/mapping';
import {
  ARENA_BYTES,
  ARENA_REQUEST_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  REQUESTS_IN_FLIGHT_MAX,
} from './limits';
import type { LargeAreas } from './large-areas';
import { PageArena } from './page-arena';

/** Room for any reply header; a power of two, so that none straddles two cache lines for nothing. */
const HEADER_BYTES_MAX = 32;
const HEADERS_BYTES = REQUESTS_IN_FLIGHT_MAX * HEADER_BYTES_MAX;

const NO_SLOT = -1;
const NO_BLOCK = -1;

/** Each slot: the client's cookie, the payload's memory, and the reply as it will be sent. */
export class RequestSlots {
  /** Reply headers first, then the arena; page-aligned, for direct I/O. */
  readonly memory: Mapping;

  readonly cookieHigh = new Uint32Array(REQUESTS_IN_FLIGHT_MAX);
  readonly cookieLow = new Uint32Array(REQUESTS_IN_FLIGHT_MAX);
  readonly commands = new Uint8Array(REQUESTS_IN_FLIGHT_MAX);
  readonly headerLengths = new Uint32Array(REQUESTS_IN_FLIGHT_MAX);
  /** Bytes of the payload that follow the reply's header, 0 for none. */
  readonly replyLengths = new Uint32Array(REQUESTS_IN_FLIGHT_MAX);

  private readonly arena = new PageArena(ARENA_BYTES);
  private readonly blocks = new Int32Array(REQUESTS_IN_FLIGHT_MAX).fill(NO_BLOCK);
  private readonly largeAreasTaken: (Mapping | null)[] = [];
  private readonly free = new Uint16Array(REQUESTS_IN_FLIGHT_MAX);
  private freeCount = REQUESTS_IN_FLIGHT_MAX;
  private isClosed = false;

  constructor(
    private readonly largeAreas: LargeAreas,
    /** Memory for a large request may be there now. */
    private readonly onRoom: () => void,
  ) {
    this.memory = mapZeroed(HEADERS_BYTES + ARENA_BYTES);
    for (let slot = 0; slot < REQUESTS_IN_FLIGHT_MAX; slot++) {
      this.free[slot] = REQUESTS_IN_FLIGHT_MAX - 1 - slot;
      this.largeAreasTaken.push(null);
    }
  }

  get taken(): number {
    return REQUESTS_IN_FLIGHT_MAX - this.freeCount;
  }

  /** A free slot, or -1. */
  take(): number {
    if (this.freeCount === 0) return NO_SLOT;
    const slot = this.free[--this.freeCount];
    this.replyLengths[slot] = 0;
    return slot;
  }

  /** Frees a slot and its payload's memory. */
  give(slot: number): void {
    const block = this.blocks[slot];
    if (block !== NO_BLOCK) {
      this.arena.give(block);
      this.blocks[slot] = NO_BLOCK;
    } else {
      const area = this.largeAreasTaken[slot];
      if (area !== null) {
        this.largeAreasTaken[slot] = null;
        this.largeAreas.give(area);
      }
    }
    this.free[this.freeCount++] = slot;
  }

  /** Gives a slot memory for a payload; false where there is none now. */
  takeMemory(slot: number, lengthBytes: number): boolean {
    assert(lengthBytes <= PAYLOAD_BYTES_MAX, 'a payload keeps to its limit');
    if (lengthBytes > ARENA_REQUEST_BYTES_MAX) {
      const area = this.largeAreas.take(lengthBytes, this.onRoom);
      this.largeAreasTaken[slot] = area;
      return area !== null;
    }
    const block = this.arena.take(lengthBytes);
    this.blocks[slot] = block;
    return block !== NO_BLOCK;
  }

  /** The area that a slot's payload lies in. */
  areaOf(slot: number): Mapping {
    return this.largeAreasTaken[slot] ?? this.memory;
  }

  /** Where in its area a slot's payload begins. */
  offsetOf(slot: number): number {
    return this.blocks[slot] === NO_BLOCK ? 0 : HEADERS_BYTES + this.blocks[slot];
  }

  /** Where in `memory` a slot's reply header lies. */
  headerOffsetOf(slot: number): number {
    return slot * HEADER_BYTES_MAX;
  }

  /** Gives all memory back. No request may be in flight, no reply be under way. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const area of this.largeAreasTaken) if (area !== null) this.largeAreas.give(area);
    this.largeAreas.forget(this.onRoom);
    this.memory.unmap();
  }
}
