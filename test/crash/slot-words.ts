/** A ring's data memory as words of 4 bytes, by slot. */
import type { ShmGuest } from '../../lib/frontend/shm/shm-guest';

export class SlotWords {
  private readonly words = new Map<number, Int32Array>();

  constructor(private readonly guest: () => ShmGuest) {}

  of(slot: number): Int32Array {
    let words = this.words.get(slot);
    if (words === undefined) {
      const memory = this.guest().slotMemory(slot);
      words = new Int32Array(memory.buffer, memory.byteOffset, memory.length / 4);
      this.words.set(slot, words);
    }
    return words;
  }
}
