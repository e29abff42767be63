/** The back end's side of a ring: takes requests, gives responses (ring.h's BACK_RING macros). */
import { assert } from '../assert';
import type { RingAbi } from './abi';
import type { RingRequest } from './ring-request';
import { RingStopped } from './ring-stopped';
import { REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SharedRing } from './shared-ring';

export interface BackRingOptions {
  /**
   * The index to go on from; without it the ring's own rsp_prod, as found. A front end that
   * had requests in flight when a back end died must start a fresh ring and send them again:
   * the slots of unanswered requests may hold answers to others. JournaledBackRing knows them.
   */
  readonly startIndex?: number;
  /** req_cons to go on from, where requests taken before are still to be answered. */
  readonly requestConsumer?: number;
  /** blktap1 and blktap2: the kernel ignores both event indices, so all that was pushed is told. */
  readonly notifyAlways?: boolean;
}

/**
 * One back ring. A front end that breaks the rules of the indices stops it: `stopped` says why,
 * and from then on nothing is taken, published or touched; `respond` only counts.
 */
export class BackRing {
  readonly entries: number;
  /** Null while the ring is sound. Look at it when `next` or `finalCheck` said false. */
  stopped: RingStopped | null = null;

  protected readonly shared: SharedRing;
  private readonly notifyAlways: boolean;
  /** req_cons: the next request to take. */
  protected requestConsumer: number;
  /** req_prod as last read: requests before it are there to take. */
  protected requestProducer: number;
  /** rsp_prod_pvt: the next response to write. */
  protected responseProducer: number;
  /** rsp_prod as we last stored it; the shared copy is never trusted after the start. */
  protected responsePublished: number;

  /**
   * `bytes`: exactly the ring's pages (1, 2, 4, 8 or 16 of 4096 bytes), 4-byte aligned.
   * Throws RING_PAGES.
   */
  constructor(bytes: Buffer, abi: RingAbi, pages: number, options: BackRingOptions = {}) {
    this.shared = new SharedRing(bytes, abi, pages);
    this.entries = this.shared.entries;
    this.notifyAlways = options.notifyAlways ?? false;
    const start = (options.startIndex ?? Atomics.load(this.shared.header, RSP_PROD)) | 0;
    this.requestConsumer = (options.requestConsumer ?? start) | 0;
    this.requestProducer = this.requestConsumer;
    this.responseProducer = start;
    this.responsePublished = start;
  }

  /** Requests taken and not yet responded to. */
  get inFlight(): number {
    return (this.requestConsumer - this.responseProducer) >>> 0;
  }

  /** Requests that could be taken now, by a fresh look at req_prod. 0 once stopped. */
  unconsumed(): number {
    if (this.stopped !== null) return 0;
    this.lookForRequests();
    return (this.requestProducer - this.requestConsumer) >>> 0;
  }

  /** Takes the next request into `out`: one copy, then decoded. False: none, or stopped. */
  next(out: RingRequest): boolean {
    if (this.requestConsumer === this.requestProducer && this.unconsumed() === 0) return false;
    const { shared } = this;
    shared.copyRequestOut(this.requestConsumer);
    this.requestConsumer = (this.requestConsumer + 1) | 0;
    shared.abi.decodeRequest(shared.scratch, 0, out);
    return true;
  }

  /**
   * Writes a response, unpublished until `push`. `wireOperation`: the request's responseOperation;
   * `journalEntry`: the request's, for a ring that has a journal.
   */
  respond(
    idLow: number,
    idHigh: number,
    wireOperation: number,
    status: number,
    _journalEntry = 0,
  ): void {
    assert(
      this.responseProducer !== this.requestConsumer,
      'a response answers a request in flight',
    );
    const index = this.responseProducer;
    this.responseProducer = (index + 1) | 0;
    if (this.stopped !== null) return;
    const { shared } = this;
    const offset = shared.slotOffset(index);
    shared.abi.encodeResponse(shared.slots, offset, idLow, idHigh, wireOperation, status);
  }

  /**
   * Publishes what was responded. True: the front end wants to be told
   * (RING_PUSH_RESPONSES_AND_CHECK_NOTIFY).
   */
  push(): boolean {
    const published = this.responsePublished;
    const producer = this.responseProducer;
    if (producer === published || this.stopped !== null) return false;
    this.responsePublished = producer;
    const { header } = this.shared;
    Atomics.store(header, RSP_PROD, producer);
    if (this.notifyAlways) return true;
    const event = Atomics.load(header, RSP_EVENT);
    return (producer - event) >>> 0 < (producer - published) >>> 0;
  }

  /**
   * Asks to be told of the next request, then looks again: true means there is work, and no
   * notification may come for it (RING_FINAL_CHECK_FOR_REQUESTS). False: none, or stopped.
   */
  finalCheck(): boolean {
    if (this.unconsumed() > 0) return true;
    if (this.notifyAlways || this.stopped !== null) return false;
    Atomics.store(this.shared.header, REQ_EVENT, (this.requestConsumer + 1) | 0);
    return this.unconsumed() > 0;
  }

  /**
   * Asks not to be told of the next request, by an event that lies behind: for a back end that looks
   * by itself, and has `finalCheck` after that.
   */
  expectNoBell(): void {
    if (this.notifyAlways || this.stopped !== null) return;
    Atomics.store(this.shared.header, REQ_EVENT, this.requestConsumer);
  }

  private lookForRequests(): void {
    const producer = Atomics.load(this.shared.header, REQ_PROD);
    // Against what was published: a front end that knows of no answer has no slot for more.
    const outstanding = (producer - this.responsePublished) >>> 0;
    if (outstanding > this.entries) {
      this.stop(
        'RING_PRODUCER_OVERFLOW',
        `producer overflow: req_prod ${producer >>> 0} is ${outstanding} requests ahead of ` +
          `rsp_prod ${this.responsePublished >>> 0} on a ring of ${this.entries}; ` +
          'the ring is stopped until the front end reconnects',
      );
    } else if (outstanding < (this.requestConsumer - this.responsePublished) >>> 0) {
      this.stop(
        'RING_PRODUCER_REWOUND',
        `producer rewound: req_prod went back to ${producer >>> 0} when ` +
          `${this.requestConsumer >>> 0} requests had been taken; ` +
          'the ring is stopped until the front end reconnects',
      );
    } else {
      this.requestProducer = producer;
    }
  }

  private stop(code: RingStopped['code'], sentence: string): void {
    this.stopped = new RingStopped(code, sentence);
    this.requestProducer = this.requestConsumer;
  }
}
