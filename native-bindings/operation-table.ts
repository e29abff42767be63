/** An engine's operations as flat arrays: what is asked, who waits in which order, what is free. */
import { assert } from '../lib/assert';
import type { EngineMemory } from './io-engine';
import { IO_OPERATIONS_INITIAL, IO_OPERATIONS_MAX, TRANSFER_BYTES_MAX } from './limits';

export const READ = 0;
export const WRITE = 1;
export const DATASYNC = 2;
export const PUNCH = 3;

/** No slot: the end of a list. */
export const NONE = -1;

/**
 * Slots by number; a slot is free, waiting (in the order of arrival), or its engine's. Flat, also
 * because a position that is passed from call to call is a number that is allocated.
 */
export class OperationTable {
  kinds = new Uint8Array(0);
  fds = new Int32Array(0);
  tokens = new Int32Array(0);
  memoryOffsets = new Float64Array(0);
  lengths = new Float64Array(0);
  positions = new Float64Array(0);
  /** Held until the operation ends, so that the garbage collector leaves the memory alone. */
  readonly memories: (EngineMemory | null)[] = [];
  /** Slots taken. */
  used = 0;

  private links = new Int32Array(0);
  private freeHead = NONE;
  private waitingHead = NONE;
  private waitingTail = NONE;

  constructor() {
    this.grow(IO_OPERATIONS_INITIAL);
  }

  /** Takes a free slot for a transfer: the engine's. */
  addTransfer(
    kind: typeof READ | typeof WRITE,
    fd: number,
    memory: EngineMemory,
    memoryOffset: number,
    length: number,
    position: number,
    token: number,
  ): number {
    assert(length >= 0 && length <= TRANSFER_BYTES_MAX, 'a transfer is below 2 GiB');
    assert(
      memoryOffset >= 0 && memoryOffset + length <= memory.bytes.length,
      'a transfer lies in its memory',
    );
    const slot = this.add(kind, fd, position, length, token);
    this.memories[slot] = memory;
    this.memoryOffsets[slot] = memoryOffset;
    return slot;
  }

  /** Takes a free slot for an operation without memory: the engine's. */
  add(kind: number, fd: number, position: number, length: number, token: number): number {
    assert(Number.isSafeInteger(position) && position >= 0, 'a position is a safe integer');
    assert(token >= 0 && token === (token | 0), 'a token has 31 bits');
    if (this.freeHead === NONE) this.grow(this.kinds.length * 2);
    const slot = this.freeHead;
    this.freeHead = this.links[slot];
    this.used++;
    this.kinds[slot] = kind;
    this.fds[slot] = fd;
    this.positions[slot] = position;
    this.lengths[slot] = length;
    this.tokens[slot] = token;
    return slot;
  }

  /** Lets a slot of the engine's wait; `next` gives it back. */
  wait(slot: number): void {
    this.links[slot] = NONE;
    if (this.waitingTail === NONE) this.waitingHead = slot;
    else this.links[this.waitingTail] = slot;
    this.waitingTail = slot;
  }

  get anyWaiting(): boolean {
    return this.waitingHead !== NONE;
  }

  /** The slot that has waited longest, now the engine's; NONE where none waits. */
  next(): number {
    const slot = this.waitingHead;
    if (slot === NONE) return NONE;
    this.waitingHead = this.links[slot];
    if (this.waitingHead === NONE) this.waitingTail = NONE;
    return slot;
  }

  /** Frees a slot of the engine's and returns its token. */
  end(slot: number): number {
    this.memories[slot] = null;
    this.links[slot] = this.freeHead;
    this.freeHead = slot;
    this.used--;
    return this.tokens[slot];
  }

  private grow(slots: number): void {
    assert(slots <= IO_OPERATIONS_MAX, 'an engine holds no more operations than its limit');
    const from = this.kinds.length;
    this.kinds = copyTo(new Uint8Array(slots), this.kinds);
    this.fds = copyTo(new Int32Array(slots), this.fds);
    this.tokens = copyTo(new Int32Array(slots), this.tokens);
    this.memoryOffsets = copyTo(new Float64Array(slots), this.memoryOffsets);
    this.lengths = copyTo(new Float64Array(slots), this.lengths);
    this.positions = copyTo(new Float64Array(slots), this.positions);
    this.links = copyTo(new Int32Array(slots), this.links);
    for (let slot = from; slot < slots; slot++) {
      this.memories.push(null);
      this.links[slot] = slot + 1 < slots ? slot + 1 : this.freeHead;
    }
    this.freeHead = from;
  }
}

function copyTo<T extends Uint8Array | Int32Array | Float64Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
