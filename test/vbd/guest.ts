/** What stands where a front end does: fills requests and notes their answers. */
import { SECTOR_BYTES } from '../../lib/sector';
import { heapArea } from '../../lib/store/memory-area';
import type { RequestOperation, RequestSource, VbdRequest } from '../../lib/vbd/request';
import type { Vbd } from '../../lib/vbd/vbd';

export interface Wanted {
  readonly operation: RequestOperation;
  readonly sector?: number;
  readonly sectorCount?: number;
  readonly forceUnitAccess?: boolean;
  /** Bytes of each run; one run for all of it otherwise. */
  readonly runs?: readonly number[];
  /** Fills a write's memory. */
  readonly value?: number;
}

/** status is null until the request is answered. */
export interface Answer {
  readonly name: string;
  status: number | null;
  errno: number;
  /** A copy of the memory when it was answered. */
  bytes: Buffer;
}

export class Guest implements RequestSource {
  /** Names in the order of their answers, and 'batch' for each batchDone. */
  readonly log: string[] = [];
  private readonly answers = new Map<VbdRequest, Answer>();
  private isSubmitting = false;

  constructor(readonly vbd: Vbd) {}

  /** Submits without a kick. */
  submit(name: string, wanted: Wanted): Answer {
    const request = this.fill(wanted);
    const answer: Answer = { name, status: null, errno: 0, bytes: Buffer.alloc(0) };
    this.answers.set(request, answer);
    this.isSubmitting = true;
    this.vbd.submit(request);
    this.isSubmitting = false;
    return answer;
  }

  /** Submits and kicks. */
  send(name: string, wanted: Wanted): Answer {
    const answer = this.submit(name, wanted);
    this.vbd.kick();
    return answer;
  }

  requestDone(request: VbdRequest): void {
    const answer = this.answers.get(request);
    if (answer === undefined) throw new Error('an answer to what is not in flight');
    if (this.isSubmitting) throw new Error(`${answer.name} was answered from inside submit`);
    this.answers.delete(request);
    answer.status = request.status;
    answer.errno = request.errno;
    answer.bytes = Buffer.from(request.memory.bytes);
    this.log.push(answer.name);
    this.vbd.release(request);
  }

  batchDone(): void {
    this.log.push('batch');
  }

  /** The names alone. */
  get answered(): string[] {
    return this.log.filter((name) => name !== 'batch');
  }

  private fill(wanted: Wanted): VbdRequest {
    const request = this.vbd.acquire();
    if (request === null) throw new Error('the pool is empty');
    const { sector = 0, sectorCount = 0 } = wanted;
    request.operation = wanted.operation;
    request.sector = sector;
    request.sectorCount = sectorCount;
    request.forceUnitAccess = wanted.forceUnitAccess ?? false;
    request.source = this;
    const runs = wanted.runs ?? (sectorCount === 0 ? [] : [sectorCount * SECTOR_BYTES]);
    // Runs lie in the memory in reverse, with gaps: their order is that of the request.
    const gap = SECTOR_BYTES;
    let end = runs.reduce((sum, run) => sum + run + gap, 0);
    request.memory = heapArea(end);
    request.memory.bytes.fill(0xee);
    request.runCount = runs.length;
    for (const [run, length] of runs.entries()) {
      end -= length + gap;
      request.runOffsets[run] = end;
      request.runLengths[run] = length;
      if (wanted.value !== undefined) request.memory.bytes.fill(wanted.value, end, end + length);
    }
    return request;
  }
}

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Resolves when the condition holds; rejects when the event loop has turned too often. */
export async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; !isTrue(); i++) {
    if (i > 100_000) throw new Error('it never came to that');
    await turns(1);
  }
}
