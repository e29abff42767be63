/** A block device of heap memory: at once, or as a test says, in any order, with any outcome. */
import type { BlockDevice } from '../../lib/vbd/block-device';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  type RequestSource,
  STATUS_OKAY,
  VbdRequest,
} from '../../lib/vbd/request';

export interface FakeBlockDeviceOptions {
  sectors?: number;
  readOnly?: boolean;
  requestsMax?: number;
  /** Requests wait for `complete` instead of ending in `kick`. */
  manual?: boolean;
}

export class FakeBlockDevice implements BlockDevice {
  private size: number;
  readonly readOnly: boolean;
  readonly discardGranularityBytes = 4096;
  readonly disk: Buffer;
  manual: boolean;
  /** Submitted and not ended, in order. */
  waiting: VbdRequest[] = [];
  /** Operations in the order of submission. */
  readonly seen: { operation: number; sector: number; sectorCount: number; runs: number }[] = [];
  kicks = 0;

  private readonly free: VbdRequest[];
  private readonly out = new Set<VbdRequest>();

  constructor(options: FakeBlockDeviceOptions = {}) {
    this.size = options.sectors ?? 4096;
    this.readOnly = options.readOnly ?? false;
    this.manual = options.manual ?? false;
    this.disk = Buffer.alloc(Math.min(this.sectors, 65_536) * 512);
    this.free = Array.from({ length: options.requestsMax ?? 64 }, (_, i) => new VbdRequest(i));
  }

  /** A property of the class and not of the object, as a VBD's is. */
  get sectors(): number {
    return this.size;
  }

  set sectors(size: number) {
    this.size = size;
  }

  /** Requests neither in the pool nor waiting: 0 when nothing was lost. */
  get leaked(): number {
    return this.out.size - this.waiting.length;
  }

  acquire(): VbdRequest | null {
    const request = this.free.pop();
    if (request === undefined) return null;
    this.out.add(request);
    return request;
  }

  submit(request: VbdRequest): void {
    const { operation, sector, sectorCount, runCount } = request;
    this.seen.push({ operation, sector, sectorCount, runs: runCount });
    this.waiting.push(request);
  }

  kick(): void {
    this.kicks++;
    if (!this.manual && this.waiting.length > 0) this.completeAll();
  }

  release(request: VbdRequest): void {
    if (!this.out.delete(request)) throw new Error('a request was given back twice');
    this.free.push(request);
  }

  /** Ends one request, and the batch with it unless told otherwise. */
  complete(request: VbdRequest, status = STATUS_OKAY, batch = true): void {
    this.waiting.splice(this.waiting.indexOf(request), 1);
    if (status === STATUS_OKAY) this.transfer(request);
    request.status = status;
    const { source } = request;
    source.requestDone(request);
    if (batch) source.batchDone();
  }

  completeAll(status = STATUS_OKAY): void {
    const sources = new Set<RequestSource>();
    for (const request of [...this.waiting]) {
      sources.add(request.source);
      this.complete(request, status, false);
    }
    for (const source of sources) source.batchDone();
  }

  private transfer(request: VbdRequest): void {
    let at = request.sector * 512;
    if (request.operation === REQUEST_DISCARD) {
      this.disk.fill(0, at, at + request.sectorCount * 512);
      return;
    }
    const { bytes } = request.memory;
    for (let run = 0; run < request.runCount; run++) {
      const from = request.runOffsets[run];
      const length = request.runLengths[run];
      if (request.operation === REQUEST_READ) this.disk.copy(bytes, from, at, at + length);
      else if (
        request.operation === REQUEST_WRITE ||
        request.operation === REQUEST_BARRIER ||
        request.operation === REQUEST_FLUSH
      ) {
        bytes.copy(this.disk, at, from, from + length);
      }
      at += length;
    }
  }
}
