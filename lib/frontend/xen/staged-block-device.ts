/** A VBD as a guest's ring sees it: whose requests' data must be brought, and taken back. */
import { addressOf } from '../../../native-bindings/gntdev';
import { GNTST_OKAY, GrantCopyBatch } from '../../../native-bindings/grant-copy-batch';
import { assert } from '../../assert';
// Not from the room's index, which makes each use of a constant a call.
import { SECTOR_BYTES, SEGMENT_BYTES } from '../../ring/layout';
import { INDIRECT_SEGMENTS_MAX } from '../../ring/limits';
import type { RingRequest } from '../../ring/ring-request';
import type { BlockDevice } from '../../vbd/block-device';
import {
  REQUEST_DISCARD,
  REQUEST_READ,
  type RequestSource,
  STATUS_ERROR,
  STATUS_OKAY,
  type VbdRequest,
} from '../../vbd/request';
import type { RingCounters } from '../ring-counters';
import type { SegmentMapper } from '../segment-mapper';
import { CopiedData } from './copied-data';
import { GrantedSegments } from './granted-segments';
import type { PersistentPages } from './persistent-pages';
import type { XenSystem } from './xen-system';

/**
 * Stands between a ring's server and the VBD. Data to be written is fetched in one batch when the
 * server kicks, before the VBD sees those requests; data that was read is delivered in one batch
 * when the VBD's is done, before the server sees the answers. A request whose pages cannot be copied
 * ends with an error, and no other does. Requests reach the VBD in the order in which they came.
 *
 * What they name may be mapped for good when the server kicks: then no request is answered yet, and
 * a reference is still the guest's for that page.
 */
export class StagedBlockDevice implements BlockDevice, SegmentMapper, RequestSource {
  private readonly fetched: CopiedData;
  private readonly delivered: CopiedData;
  private readonly indirectPage: GrantCopyBatch;
  /** By the VBD's number of a request. */
  private readonly segments: GrantedSegments[] = [];
  /** Submitted and not with the VBD yet. */
  private readonly submitted = new RequestList();
  /** Read, and not delivered yet. */
  private readonly read = new RequestList();
  /** Their data could not be fetched. */
  private readonly refused = new RequestList();
  private source!: RequestSource;

  constructor(
    private readonly inner: BlockDevice,
    private readonly system: XenSystem,
    domid: number,
    private readonly pages: PersistentPages,
    private readonly counters: Pick<RingCounters, 'copiesFailed'>,
  ) {
    this.fetched = new CopiedData(system, domid, pages, 'fetch');
    this.delivered = new CopiedData(system, domid, pages, 'deliver');
    this.indirectPage = new GrantCopyBatch(domid, 1, addressOf);
  }

  get sectors(): number {
    return this.inner.sectors;
  }

  get readOnly(): boolean {
    return this.inner.readOnly;
  }

  get discardGranularityBytes(): number {
    return this.inner.discardGranularityBytes;
  }

  /** Null, too, while there may not be memory for what it asks. */
  acquire(): VbdRequest | null {
    return this.system.staging.hasRoom(INDIRECT_SEGMENTS_MAX) ? this.inner.acquire() : null;
  }

  release(request: VbdRequest): void {
    this.inner.release(request);
  }

  map(from: RingRequest, to: VbdRequest): boolean {
    this.segmentsOf(to).keep(from);
    this.pages.wantAll(from.gref, from.segmentCount);
    this.system.staging.give(to, from.segmentCount === 0 ? 0 : from.totalSectors * SECTOR_BYTES);
    return true;
  }

  takeIndirectSegments(request: RingRequest, count: number): boolean {
    const { indirectPage, pages } = this;
    const { grants, staging } = this.system;
    const ref = request.indirectGrefs[0];
    const page = pages.find(ref);
    if (page !== undefined) {
      request.decodeIndirectSegments(page, 0, count);
      return true;
    }
    indirectPage.clear();
    indirectPage.fetch(ref, 0, staging.indirectPage.address, count * SEGMENT_BYTES);
    try {
      grants.copy(indirectPage);
    } catch {
      return false;
    }
    if (indirectPage.status(0) !== GNTST_OKAY) return false;
    request.decodeIndirectSegments(staging.indirectWords, 0, count);
    pages.want(ref);
    return true;
  }

  submit(request: VbdRequest): void {
    this.source = request.source;
    request.source = this;
    this.submitted.add(request);
  }

  kick(): void {
    this.pages.mapWanted();
    this.passOn();
    this.inner.kick();
    if (this.refused.count === 0) return;
    for (let at = 0; at < this.refused.count; at++) this.finish(this.refused.at(at));
    this.refused.clear();
    this.source.batchDone();
  }

  requestDone(request: VbdRequest): void {
    if (request.operation !== REQUEST_READ || request.status !== STATUS_OKAY) {
      return this.finish(request);
    }
    if (!this.delivered.hasRoom) this.deliver();
    this.delivered.add(request, this.segmentsOf(request));
    this.read.add(request);
  }

  batchDone(): void {
    this.deliver();
    this.source.batchDone();
  }

  private passOn(): void {
    const { submitted, fetched } = this;
    let first = 0;
    for (let at = 0; at < submitted.count; at++) {
      const request = submitted.at(at);
      if (!bringsData(request)) continue;
      if (!fetched.hasRoom) {
        this.fetchAndSubmit(first, at);
        first = at;
      }
      fetched.add(request, this.segmentsOf(request));
    }
    this.fetchAndSubmit(first, submitted.count);
    submitted.clear();
  }

  /** Of those that were submitted, from `first` to before `end`. */
  private fetchAndSubmit(first: number, end: number): void {
    const { submitted, fetched } = this;
    fetched.copy();
    for (let at = first; at < end; at++) {
      const request = submitted.at(at);
      if (!bringsData(request) || fetched.isCopied(this.segmentsOf(request))) {
        this.inner.submit(request);
      } else {
        this.fail(request);
        this.refused.add(request);
      }
    }
    fetched.clear();
  }

  private deliver(): void {
    const { read, delivered } = this;
    if (read.count === 0) return;
    delivered.copy();
    for (let at = 0; at < read.count; at++) {
      const request = read.at(at);
      if (!delivered.isCopied(this.segmentsOf(request))) this.fail(request);
      this.finish(request);
    }
    read.clear();
    delivered.clear();
  }

  private fail(request: VbdRequest): void {
    this.counters.copiesFailed++;
    request.status = STATUS_ERROR;
  }

  private finish(request: VbdRequest): void {
    this.system.staging.takeBack(request);
    this.source.requestDone(request);
  }

  private segmentsOf(request: VbdRequest): GrantedSegments {
    return (this.segments[request.slot] ??= new GrantedSegments());
  }
}

function bringsData({ operation, runCount }: VbdRequest): boolean {
  return runCount > 0 && operation !== REQUEST_READ && operation !== REQUEST_DISCARD;
}

/** A list that is filled and emptied all the time, and allocates only where it grows. */
class RequestList {
  count = 0;
  private readonly items: VbdRequest[] = [];

  add(request: VbdRequest): void {
    this.items[this.count++] = request;
  }

  at(index: number): VbdRequest {
    assert(index < this.count, 'an item of the list');
    return this.items[index];
  }

  clear(): void {
    this.count = 0;
  }
}
