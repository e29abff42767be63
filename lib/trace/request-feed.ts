/** The requests of a trace one after another, read ahead in the background. */
import { READ_AHEAD_BATCHES } from './limits';
import type { TraceBatch } from './trace-batch';
import type { TraceSource } from './trace-source';

export interface FeedOptions {
  /** Requests of the first pass to leave out. */
  readonly skip: number;
  /** Requests to give in all. */
  readonly count: number;
  /** Passes through the trace. */
  readonly loops: number;
}

export class RequestFeed {
  /** Where the next request is: column `index` of `batch`, which is null while none is there. */
  batch: TraceBatch | null = null;
  index = 0;
  /** Number of the next request: of the trace in its first pass, going on in the next ones. */
  position: number;
  /** Number of the pass that the next request belongs to. */
  pass = 0;
  /** No further request will come; `failure` tells whether the trace broke. */
  ended = false;
  failure: unknown = null;

  private readonly ready: { batch: TraceBatch; pass: number }[] = [];
  private left: number;
  private readerDone = false;
  private wakeReader: (() => void) | null = null;

  /** @param onReady called when there is a request again after there was none, and at the end. */
  constructor(
    private readonly source: Pick<TraceSource, 'batches'>,
    private readonly options: FeedOptions,
    private readonly onReady: () => void,
  ) {
    this.left = options.count;
    this.position = options.skip;
    this.ended = options.count <= 0;
    void this.read();
  }

  /** Steps to the next request. */
  advance(): void {
    this.index++;
    this.position++;
    this.left--;
    if (this.left <= 0) this.stop();
    else if (this.batch !== null && this.index >= this.batch.count) this.nextBatch();
  }

  /** No further request is wanted. */
  stop(): void {
    this.batch = null;
    this.ended = true;
    this.ready.length = 0;
    this.wakeReader?.();
  }

  private nextBatch(): void {
    const next = this.ready.shift();
    this.batch = next?.batch ?? null;
    this.index = next?.batch.start ?? 0;
    this.pass = next?.pass ?? this.pass;
    this.wakeReader?.();
    if (next === undefined && this.readerDone) this.ended = true;
  }

  private async read(): Promise<void> {
    try {
      for (let pass = 0; pass < this.options.loops && !this.ended; pass++) {
        const batches = this.source.batches(pass === 0 ? this.options.skip : 0);
        for await (const batch of batches) {
          if (this.ended) break;
          this.ready.push({ batch, pass });
          if (this.batch === null) this.announce();
          if (this.ready.length >= READ_AHEAD_BATCHES) await this.untilTaken();
        }
      }
    } catch (error) {
      this.failure = error;
    }
    this.readerDone = true;
    if (this.batch === null) this.announce();
  }

  private announce(): void {
    if (!this.ended) this.nextBatch();
    this.onReady();
  }

  private untilTaken(): Promise<void> {
    return new Promise((resolve) => {
      this.wakeReader = () => {
        this.wakeReader = null;
        resolve();
      };
    });
  }
}
