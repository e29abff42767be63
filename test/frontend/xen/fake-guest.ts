/** A guest with a block driver: rings and data pages in its memory, filled by a test. */
import type { XenRingsAddress } from '../../../lib/frontend/xen/rings';
import { StagingArea } from '../../../lib/frontend/xen/staging-area';
import type { XenSystem } from '../../../lib/frontend/xen/xen-system';
import {
  ABI_NATIVE,
  ABI_X86_32,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  FrontRing,
  initialiseSharedRing,
  RingRequest,
  RingResponse,
} from '../../../lib/ring';
import { FakeEvents } from './fake-events';
import { FakeGrants } from './fake-grants';

const PAGE = 4096;
const DATA_PAGES = 2048;

export interface Segment {
  /** A data page of the guest's. */
  readonly page: number;
  readonly first?: number;
  readonly last?: number;
}

export interface Answer {
  readonly id: number;
  readonly operation: number;
  readonly status: number;
}

export interface GuestShape {
  readonly abi?: 'x86_64' | 'x86_32';
  readonly ringOrder?: number;
  readonly queues?: number;
  readonly persistent?: boolean;
}

export class FakeGuest {
  readonly domid = 5;
  readonly grants: FakeGrants;
  readonly fronts: FrontRing[] = [];
  readonly ringPages: number;
  readonly address: Omit<XenRingsAddress, 'takenOver' | 'journalDirectory' | 'journalKey'>;
  /** Of the back end that serves it now. */
  events = new FakeEvents();
  readonly staging = new StagingArea();

  constructor({ abi = 'x86_64', ringOrder = 0, queues = 1, persistent = false }: GuestShape = {}) {
    this.ringPages = 2 ** ringOrder;
    const pages = queues * this.ringPages + DATA_PAGES;
    this.grants = new FakeGrants(this.domid, pages, this.staging.steadyMemory[0]);
    this.address = {
      domid: this.domid,
      abi,
      ringOrder,
      persistent,
      queues: Array.from({ length: queues }, (_, queue) => ({
        eventChannel: 20 + queue,
        ringRefs: Array.from({ length: this.ringPages }, (_, page) =>
          this.grants.refOf(queue * this.ringPages + page),
        ),
      })),
    };
    this.makeRings();
  }

  /** Fresh rings in the place of those there are. */
  makeRings(): void {
    this.fronts.length = 0;
    const { abi, queues } = this.address;
    for (let queue = 0; queue < queues.length; queue++) {
      const bytes = this.ring(queue);
      initialiseSharedRing(bytes);
      const codec = abi === 'x86_64' ? ABI_NATIVE : ABI_X86_32;
      this.fronts.push(new FrontRing(bytes, codec, this.ringPages));
    }
  }

  ring(queue = 0): Buffer {
    const from = queue * this.ringPages * PAGE;
    return this.grants.memory.bytes.subarray(from, from + this.ringPages * PAGE);
  }

  /** What a back end has of it; after `processDies` another one. */
  get system(): XenSystem {
    return { grants: this.grants, events: this.events, staging: this.staging };
  }

  /** Its files are closed by the kernel; its memory stays what it was. */
  processDies(): void {
    this.events = new FakeEvents();
    this.grants.processDies();
  }

  data(page: number): Buffer {
    return this.grants.page(this.dataPage(page));
  }

  ref(page: number): number {
    return this.grants.refOf(this.dataPage(page));
  }

  revoke(page: number): void {
    this.grants.revoke(this.dataPage(page));
  }

  put(id: number, fields: Partial<RingRequest>, segments: readonly Segment[], queue = 0): void {
    const request = new RingRequest();
    Object.assign(request, { operation: BLKIF_OP_READ, idLow: id, ...fields });
    segments.forEach(({ page, first = 0, last = 7 }, at) => {
      request.gref[at] = this.ref(page);
      request.firstSect[at] = first;
      request.lastSect[at] = last;
    });
    request.segmentCount = request.nrSegments = segments.length;
    if (!this.fronts[queue].put(request)) throw new Error('the ring is full');
  }

  /** As `put`, with the segments in `indirectPage`; `fields.indirectOperation` says what to do. */
  putIndirect(
    id: number,
    fields: Partial<RingRequest>,
    segments: readonly Segment[],
    indirectPage: number,
  ): void {
    const request = new RingRequest();
    segments.forEach(({ page, first = 0, last = 7 }, at) => {
      request.gref[at] = this.ref(page);
      request.firstSect[at] = first;
      request.lastSect[at] = last;
    });
    request.segmentCount = segments.length;
    request.encodeIndirectSegments(this.data(indirectPage));
    Object.assign(request, { operation: BLKIF_OP_INDIRECT, idLow: id, ...fields });
    request.indirectGrefs[0] = this.ref(indirectPage);
    request.nrSegments = segments.length;
    if (!this.fronts[0].put(request)) throw new Error('the ring is full');
  }

  /** Publishes, and kicks where the back end wants to be kicked. */
  go(queue = 0): void {
    if (this.fronts[queue].push()) this.events.guestKicks(20 + queue);
  }

  answers(queue = 0): Answer[] {
    const response = new RingResponse();
    const answers: Answer[] = [];
    while (this.fronts[queue].finalCheck() && this.fronts[queue].next(response)) {
      const { idLow: id, wireOperation: operation, status } = response;
      answers.push({ id, operation, status });
    }
    return answers;
  }

  /** Throws where something of it is mapped still. */
  close(): void {
    const { mapped } = this.grants;
    this.grants.close();
    this.staging.close();
    if (mapped !== 0) throw new Error(`${mapped} mappings of the guest's pages were left`);
  }

  private dataPage(page: number): number {
    return this.address.queues.length * this.ringPages + page;
  }
}
