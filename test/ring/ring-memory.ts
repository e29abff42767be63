/** Memory for a ring as tests want it: made ready at any start index, between guards. */
import { ABI_BLKTAP2, ABI_NATIVE, ABI_X86_32, initialiseSharedRing } from '../../lib/ring';

export const ABIS = [ABI_NATIVE, ABI_X86_32, ABI_BLKTAP2];
export const RING_PAGES = [1, 2, 4, 8, 16];
export const GUARD_BYTES = 4096;

/** A page-aligned-enough ring between two guards of `guardByte`. */
export class RingMemory {
  readonly all: Buffer;
  readonly ring: Buffer;

  constructor(pages: number, startIndex = 0, guardByte = 0xa5) {
    this.all = Buffer.from(new ArrayBuffer(pages * 4096 + 2 * GUARD_BYTES)).fill(guardByte);
    this.ring = this.all.subarray(GUARD_BYTES, this.all.length - GUARD_BYTES).fill(0);
    initialiseSharedRing(this.ring);
    this.ring.writeUInt32LE(startIndex >>> 0, 0);
    this.ring.writeUInt32LE((startIndex + 1) >>> 0, 4);
    this.ring.writeUInt32LE(startIndex >>> 0, 8);
    this.ring.writeUInt32LE((startIndex + 1) >>> 0, 12);
  }

  guardsAreIntact(guardByte = 0xa5): boolean {
    const guard = Buffer.alloc(GUARD_BYTES, guardByte);
    return (
      this.all.subarray(0, GUARD_BYTES).equals(guard) &&
      this.all.subarray(this.all.length - GUARD_BYTES).equals(guard)
    );
  }
}
