/** The requests of a VBD: made when first needed, never given to the garbage collector. */
import { VbdRequest } from './request';

export class RequestPool {
  private readonly all: VbdRequest[] = [];
  private free: VbdRequest | null = null;
  private freeCount = 0;

  constructor(private readonly limit: number) {}

  /** Requests taken and not given back. */
  get taken(): number {
    return this.all.length - this.freeCount;
  }

  /** The request with this slot number; it is taken now. */
  at(slot: number): VbdRequest {
    return this.all[slot];
  }

  /** A request to fill, or null at the limit. */
  take(): VbdRequest | null {
    const request = this.free;
    if (request !== null) {
      this.free = request.next;
      this.freeCount--;
      request.next = null;
      return request;
    }
    if (this.all.length >= this.limit) return null;
    const made = new VbdRequest(this.all.length);
    this.all.push(made);
    return made;
  }

  give(request: VbdRequest): void {
    request.next = this.free;
    this.free = request;
    this.freeCount++;
  }
}

/** A first-in first-out queue of requests, linked through the requests themselves. */
export class RequestQueue {
  private head: VbdRequest | null = null;
  private tail: VbdRequest | null = null;

  /** The oldest request, left in the queue, or null. */
  get first(): VbdRequest | null {
    return this.head;
  }

  push(request: VbdRequest): void {
    request.next = null;
    if (this.tail === null) this.head = request;
    else this.tail.next = request;
    this.tail = request;
  }

  shift(): VbdRequest | null {
    const request = this.head;
    if (request === null) return null;
    this.head = request.next;
    if (this.head === null) this.tail = null;
    request.next = null;
    return request;
  }
}
