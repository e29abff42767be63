/** The front end's side of a ring: puts requests, takes responses (ring.h's FRONT_RING macros). */
import { assert } from '../assert';
import type { RingAbi } from './abi';
import type { RingRequest } from './ring-request';
import type { RingResponse } from './ring-response';
import { RingStopped } from './ring-stopped';
import { REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SharedRing } from './shared-ring';

export interface FrontRingOptions {
  /** The index to go on from (default 0: a ring just made by `initialiseSharedRing`). */
  readonly startIndex?: number;
  /** A peer that ignores both event indices, as blktap's kernel does: all that was pushed is told. */
  readonly notifyAlways?: boolean;
}

/** One front ring. A back end that breaks the rules of the indices stops it, as in BackRing. */
export class FrontRing {
  readonly entries: number;
  /** Null while the ring is sound. Look at it when `next` or `finalCheck` said false. */
  stopped: RingStopped | null = null;

  private readonly shared: SharedRing;
  private readonly notifyAlways: boolean;
  /** req_prod_pvt: the next request to write. */
  private requestProducer: number;
  /** req_prod as we last stored it; the shared copy is never trusted. */
  private requestPublished: number;
  /** rsp_cons: the next response to take. */
  private responseConsumer: number;
  /** rsp_prod as last read: responses before it are there to take. */
  private responseProducer: number;

  /**
   * `bytes`: exactly the ring's pages (1, 2, 4, 8 or 16 of 4096 bytes), 4-byte aligned, with the
   * header made already. Throws RING_PAGES.
   */
  constructor(bytes: Buffer, abi: RingAbi, pages: number, options: FrontRingOptions = {}) {
    this.shared = new SharedRing(bytes, abi, pages);
    this.entries = this.shared.entries;
    this.notifyAlways = options.notifyAlways ?? false;
    const start = (options.startIndex ?? 0) | 0;
    this.requestProducer = start;
    this.requestPublished = start;
    this.responseConsumer = start;
    this.responseProducer = start;
  }

  /** Requests put (pushed or not) whose response was not taken yet. */
  get inFlight(): number {
    return (this.requestProducer - this.responseConsumer) >>> 0;
  }

  /** Requests that can be put now (RING_FREE_REQUESTS). 0 once stopped. */
  get free(): number {
    return this.stopped === null ? this.entries - this.inFlight : 0;
  }

  /** Writes a request, unpublished until `push`. False: the ring is full, or stopped. */
  put(request: RingRequest): boolean {
    if (this.free === 0) return false;
    const { shared } = this;
    shared.abi.encodeRequest(request, shared.slots, shared.slotOffset(this.requestProducer));
    this.requestProducer = (this.requestProducer + 1) | 0;
    return true;
  }

  /**
   * Publishes what was put. True: the back end wants to be told
   * (RING_PUSH_REQUESTS_AND_CHECK_NOTIFY).
   */
  push(): boolean {
    const published = this.requestPublished;
    const producer = this.requestProducer;
    if (producer === published || this.stopped !== null) return false;
    this.requestPublished = producer;
    const { header } = this.shared;
    Atomics.store(header, REQ_PROD, producer);
    if (this.notifyAlways) return true;
    const event = Atomics.load(header, REQ_EVENT);
    return (producer - event) >>> 0 < (producer - published) >>> 0;
  }

  /** Responses that could be taken now, by a fresh look at rsp_prod. 0 once stopped. */
  unconsumed(): number {
    if (this.stopped !== null) return 0;
    this.lookForResponses();
    return (this.responseProducer - this.responseConsumer) >>> 0;
  }

  /** Takes the next response into `out`: one copy, then decoded. False: none, or stopped. */
  next(out: RingResponse): boolean {
    if (this.responseConsumer === this.responseProducer && this.unconsumed() === 0) return false;
    const { shared } = this;
    shared.copyResponseOut(this.responseConsumer);
    this.responseConsumer = (this.responseConsumer + 1) | 0;
    shared.abi.decodeResponse(shared.scratch, 0, out);
    return true;
  }

  /**
   * Asks to be told of the next response, then looks again: true means there is one, and no
   * notification may come for it (RING_FINAL_CHECK_FOR_RESPONSES). False: none, or stopped.
   */
  finalCheck(): boolean {
    if (this.unconsumed() > 0) return true;
    if (this.notifyAlways || this.stopped !== null) return false;
    Atomics.store(this.shared.header, RSP_EVENT, (this.responseConsumer + 1) | 0);
    return this.unconsumed() > 0;
  }

  private lookForResponses(): void {
    const producer = Atomics.load(this.shared.header, RSP_PROD);
    const answered = (producer - this.responseConsumer) >>> 0;
    const asked = (this.requestPublished - this.responseConsumer) >>> 0;
    assert(asked <= this.entries, 'never more requests in flight than entries');
    if (answered <= asked) {
      this.responseProducer = producer;
      return;
    }
    this.stopped = new RingStopped(
      'RING_RESPONSE_OVERFLOW',
      `response overflow: rsp_prod ${producer >>> 0} answers more than the ${asked} requests ` +
        `asked since ${this.responseConsumer >>> 0}; the ring is stopped, connect it afresh`,
    );
    this.responseProducer = this.responseConsumer;
  }
}
