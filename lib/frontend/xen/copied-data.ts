/** Copies requests' data between a guest's granted pages and the staging area, many at a time. */
import { addressOf } from '../../../native-bindings/gntdev';
import { GNTST_OKAY, GrantCopyBatch } from '../../../native-bindings/grant-copy-batch';
import { assert } from '../../assert';
import { INDIRECT_SEGMENTS_MAX } from '../../ring/limits';
import type { VbdRequest } from '../../vbd/request';
import { GRANT_COPIES_MAX } from '../limits';
import type { GrantedSegments } from './granted-segments';
import type { PersistentPages } from './persistent-pages';
import type { XenSystem } from './xen-system';

/** A segment of the guest's may lie across two runs of ours. */
const COPIES_OF_A_REQUEST_MAX = 2 * INDIRECT_SEGMENTS_MAX;

assert(COPIES_OF_A_REQUEST_MAX <= GRANT_COPIES_MAX, 'any request fits an empty batch');

/** One direction: what is mapped is copied at once, the rest as a batch. */
export class CopiedData {
  private readonly batch: GrantCopyBatch;
  private isFailed = false;

  constructor(
    private readonly system: Pick<XenSystem, 'grants' | 'staging'>,
    domid: number,
    private readonly pages: PersistentPages,
    private readonly direction: 'fetch' | 'deliver',
  ) {
    this.batch = new GrantCopyBatch(domid, GRANT_COPIES_MAX, addressOf);
  }

  /** Whether any request can be added. */
  get hasRoom(): boolean {
    return this.batch.count + COPIES_OF_A_REQUEST_MAX <= GRANT_COPIES_MAX;
  }

  /** All that `segments` name, one behind the other, from or to the request's runs. */
  add(request: VbdRequest, segments: GrantedSegments): void {
    const { batch, pages } = this;
    segments.firstCopy = batch.count;
    let run = 0;
    let at = request.memory.address + request.runOffsets[0];
    let runLeft = request.runLengths[0];
    for (let segment = 0; segment < segments.count; segment++) {
      const ref = segments.refs[segment];
      const page = pages.find(ref);
      let pageOffset = segments.offsets[segment];
      for (let left = segments.lengths[segment]; left > 0;) {
        if (runLeft === 0) {
          run++;
          at = request.memory.address + request.runOffsets[run];
          runLeft = request.runLengths[run];
        }
        const length = Math.min(left, runLeft);
        if (page !== undefined) this.copyNow(page, pageOffset, at, length);
        else if (this.direction === 'fetch') batch.fetch(ref, pageOffset, at, length);
        else batch.deliver(ref, pageOffset, at, length);
        pageOffset += length;
        at += length;
        left -= length;
        runLeft -= length;
      }
    }
    segments.endCopy = batch.count;
  }

  /** Copies what was not copied at once. Look at the outcomes, then `clear`. */
  copy(): void {
    if (this.batch.count === 0) return;
    try {
      this.system.grants.copy(this.batch);
    } catch {
      // Which of them the kernel refused to look at is not known, and each is of the guest's making.
      this.isFailed = true;
    }
  }

  /** Whether all of a request's data was copied: pages that were not granted, or no more, are not. */
  isCopied(segments: GrantedSegments): boolean {
    if (this.isFailed) return segments.firstCopy === segments.endCopy;
    for (let copy = segments.firstCopy; copy < segments.endCopy; copy++) {
      if (this.batch.status(copy) !== GNTST_OKAY) return false;
    }
    return true;
  }

  clear(): void {
    this.isFailed = false;
    this.batch.clear();
  }

  private copyNow(page: Int32Array, pageOffset: number, address: number, length: number): void {
    const { staging } = this.system;
    if (this.direction === 'fetch') staging.fetch(page, pageOffset, address, length);
    else staging.deliver(page, pageOffset, address, length);
  }
}
