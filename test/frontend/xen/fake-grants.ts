/** A guest's memory and its grants: pages by reference, copied and mapped as gntdev does. */
import { addressOf, type GrantDevice, type GrantMapping } from '../../../native-bindings/gntdev';
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
const ENOMEM = 12;
/** GNTST_general_error: written to what was granted for reading. */
const GNTST_GENERAL_ERROR = -1;

interface Mapped {
  readonly bytes: Buffer;
  end(): void;
}

/** Page n of its memory is granted as reference n + 8, as long as it is not revoked. */
export class FakeGrants implements GrantDevice {
  readonly memory: Mapping;
  /** Mappings that were not unmapped. */
  mapped = 0;
  /** Pages of each map that was asked for, refused ones too. */
  readonly maps: number[] = [];
  /** The next map fails for want of something. */
  failNextMap = false;
  /** Copies that were asked for, batch by batch. */
  readonly batches: number[] = [];
  /** The next copy fails as a whole. */
  failNext = false;
  private readonly revoked = new Set<number>();
  private readonly readOnly = new Set<number>();
  /** Where pages lie that were mapped in another order than they have in the guest's memory. */
  private readonly elsewhere = new Map<number, Buffer>();

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
    return this.elsewhere.get(page) ?? this.home(page);
  }

  revoke(page: number): void {
    this.revoked.add(page);
  }

  /** From now on it can be read only. */
  protect(page: number): void {
    this.readOnly.add(page);
  }

  /** Nothing of it is mapped any more. */
  processDies(): void {
    this.mapped = 0;
    this.bringHome([...this.elsewhere.keys()]);
  }

  map(domid: number, refs: readonly number[]): GrantMapping {
    this.maps.push(refs.length);
    if (this.failNextMap) {
      this.failNextMap = false;
      throw new SystemCallError('ioctl', ENOMEM);
    }
    const pages = refs.map((ref) => this.pageOf(domid, ref));
    const isWritable = (page: number | null): page is number =>
      page !== null && !this.readOnly.has(page);
    if (!pages.every(isWritable)) throw new SystemCallError('mmap', EINVAL);
    if (pages.some((page) => this.elsewhere.has(page))) {
      throw new Error('such a page cannot be in two places here');
    }
    const isSideBySide = pages.every((page, at) => page === pages[0] + at);
    this.mapped++;
    const { bytes, end } = isSideBySide
      ? this.sideBySide(pages[0], pages.length)
      : this.together(pages);
    let isMapped = true;
    return {
      bytes,
      address: addressOf(bytes),
      unmap: () => {
        if (!isMapped) throw new Error('unmapped twice');
        isMapped = false;
        this.mapped--;
        end();
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
    const status = this.statusOf(page, fetches);
    segment.writeInt16LE(status, 20);
    if (page === null || status !== GNTST_OKAY) return;
    const from = segment.readUInt16LE(grant + 4);
    const theirs = this.page(page).subarray(from, from + length);
    const ours = this.localBytes(Number(segment.readBigUInt64LE(local)), length);
    if (fetches) theirs.copy(ours);
    else ours.copy(theirs);
  }

  private statusOf(page: number | null, fetches: boolean): number {
    if (page === null) return GNTST_BAD_GNTREF;
    return fetches || !this.readOnly.has(page) ? GNTST_OKAY : GNTST_GENERAL_ERROR;
  }

  private home(page: number): Buffer {
    return this.memory.bytes.subarray(page * PAGE, (page + 1) * PAGE);
  }

  private sideBySide(first: number, count: number): Mapped {
    const bytes = this.memory.bytes.subarray(first * PAGE, (first + count) * PAGE);
    return { bytes, end: () => undefined };
  }

  /** The guest sees them where they are mapped, and those who go on after the unmap see nothing. */
  private together(pages: readonly number[]): Mapped {
    const memory = new ArrayBuffer(pages.length * PAGE);
    const bytes = Buffer.from(memory);
    for (const [at, page] of pages.entries()) {
      const place = bytes.subarray(at * PAGE, (at + 1) * PAGE);
      this.home(page).copy(place);
      this.elsewhere.set(page, place);
    }
    const end = (): void => {
      this.bringHome(pages);
      structuredClone(memory, { transfer: [memory] });
    };
    return { bytes, end };
  }

  private bringHome(pages: Iterable<number>): void {
    for (const page of pages) {
      this.page(page).copy(this.home(page));
      this.elsewhere.delete(page);
    }
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
