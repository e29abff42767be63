/** A guest's memory and its grants: pages by reference, copied and mapped as gntdev does. */
import type { GrantDevice, GrantMapping } from '../../../native-bindings/gntdev';
import {
  GNTCOPY_SOURCE_GREF,
  GNTST_BAD_GNTREF,
  GNTST_OKAY,
  COPY_SEGMENT_BYTES,
  type GrantCopyBatch,
} from '../../../native-bindings/grant-copy-batch';
import { type Mapping, mapZeroed } from '../../../native-bindings/mapping';
import type { MemoryArea } from '../../../lib/store/memory-area';
import { SystemCallError } from '../../../native-bindings/system-call-error';

const PAGE = 4096;
const HEADER_BYTES = 16;
const EINVAL = 22;
const EFAULT = 14;

/** Page n of its memory is granted as reference n + 8, as long as it is not revoked. */
export class FakeGrants implements GrantDevice {
  readonly memory: Mapping;
  /** Mappings that were not unmapped. */
  mapped = 0;
  /** Copies that were asked for, batch by batch. */
  readonly batches: number[] = [];
  /** The next copy fails as a whole. */
  failNext = false;
  private readonly revoked = new Set<number>();

  /** `staging`: a part of the memory of ours that is copied from and to. */
  constructor(
    readonly domid: number,
    readonly pages: number,
    private readonly staging: MemoryArea,
  ) {
    this.memory = mapZeroed(pages * PAGE);
  }

  refOf(page: number): number {
    return page + 8;
  }

  page(page: number): Buffer {
    return this.memory.bytes.subarray(page * PAGE, (page + 1) * PAGE);
  }

  revoke(page: number): void {
    this.revoked.add(page);
  }

  map(domid: number, refs: readonly number[]): GrantMapping {
    const first = this.pageOf(domid, refs[0]);
    const isSideBySide = refs.every((ref, at) => this.pageOf(domid, ref) === first! + at);
    if (first === null || !isSideBySide) throw new SystemCallError('mmap', EINVAL);
    this.mapped++;
    let isMapped = true;
    return {
      bytes: this.memory.bytes.subarray(first * PAGE, (first + refs.length) * PAGE),
      address: this.memory.address + first * PAGE,
      unmap: () => {
        if (isMapped) this.mapped--;
        isMapped = false;
      },
    };
  }

  copy(batch: GrantCopyBatch): void {
    this.batches.push(batch.count);
    if (this.failNext) {
      this.failNext = false;
      throw new SystemCallError('ioctl', EFAULT);
    }
    const count = batch.argument.readUInt32LE(0);
    for (let segment = 0; segment < count; segment++) {
      const from = HEADER_BYTES + segment * COPY_SEGMENT_BYTES;
      this.copySegment(batch.argument.subarray(from, from + COPY_SEGMENT_BYTES));
    }
  }

  close(): void {
    this.memory.unmap();
  }

  private copySegment(segment: Buffer): void {
    const fetches = segment.readUInt16LE(18) === GNTCOPY_SOURCE_GREF;
    const [grant, local] = fetches ? [0, 8] : [8, 0];
    const length = segment.readUInt16LE(16);
    const page = this.pageOf(segment.readUInt16LE(grant + 6), segment.readUInt32LE(grant));
    segment.writeInt16LE(page === null ? GNTST_BAD_GNTREF : GNTST_OKAY, 20);
    if (page === null) return;
    const from = segment.readUInt16LE(grant + 4);
    const theirs = this.page(page).subarray(from, from + length);
    const ours = this.localBytes(Number(segment.readBigUInt64LE(local)), length);
    if (fetches) theirs.copy(ours);
    else ours.copy(theirs);
  }

  private localBytes(address: number, length: number): Buffer {
    const { bytes, address: stagingAddress } = this.staging;
    const offset = bytes.byteOffset + address - stagingAddress;
    return Buffer.from(bytes.buffer, offset, length);
  }

  private pageOf(domid: number, ref: number): number | null {
    const page = ref - 8;
    const isGranted = domid === this.domid && page >= 0 && page < this.pages;
    return isGranted && !this.revoked.has(page) ? page : null;
  }
}
