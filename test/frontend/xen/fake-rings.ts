/** Rings of no guest at all, which tell what was done with them. */
import { TapdiskError } from '../../../lib/errors';
import type { RingCounters } from '../../../lib/frontend/ring-counters';
import { newRingCounters } from '../../../lib/frontend/ring-counters';
import type { BlockDevice } from '../../../lib/vbd/block-device';
import type { XenRings, XenRingsAddress } from '../../../lib/frontend/xen/rings';

export class FakeRings implements XenRings {
  readonly counters: RingCounters = newRingCounters();
  readonly steadyMemory = [];
  stopped: TapdiskError | null = null;
  inFlight = 0;
  /** In order: start, pause, resume, close, forget. */
  readonly done: string[] = [];
  /** `close` rejects with it. */
  closeError: TapdiskError | null = null;

  constructor(
    readonly address: XenRingsAddress,
    readonly blockDevice: BlockDevice,
    private readonly onStopped: (reason: TapdiskError) => void,
  ) {}

  start(): void {
    this.done.push('start');
  }

  pause(): void {
    this.done.push('pause');
  }

  resume(): void {
    this.done.push('resume');
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.done.push('close');
    if (this.closeError !== null) throw this.closeError;
  }

  forget(): void {
    this.done.push('forget');
  }

  /** The guest broke them. */
  break(
    code = 'RING_PRODUCER_OVERFLOW',
    sentence = 'producer overflow: the ring is stopped',
  ): void {
    this.stopped = new TapdiskError(code, sentence);
    this.onStopped(this.stopped);
  }
}
