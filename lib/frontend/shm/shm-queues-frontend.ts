/** Serves one VBD on all rings of a stand-in device, on one event loop. */
import type { WatchReadable } from '../../../native-bindings/readiness';
import type { TapdiskError } from '../../errors';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import type { Frontend, FrontendEvents } from '../frontend';
import { DRAIN_TIMEOUT_MS } from '../limits';
import { newRingCounters, type RingCounters } from '../ring-counters';
import { ShmFrontend } from './shm-frontend';
import { ringsOfStandIn } from './shm-queues';

/**
 * One ring a queue, each with pages, doorbells and sessions of its own; the order among requests of
 * different rings is the VBD's, who has them all. A queue that breaks its ring stops the others, too:
 * they are one disk of one guest. Each is served again once its front end has made it afresh.
 */
export class ShmQueuesFrontend implements Frontend {
  readonly kind = 'shm';
  readonly flushCapable = true;
  readonly survivesClose = true;

  private constructor(
    readonly path: string,
    private readonly queues: readonly ShmFrontend[],
  ) {}

  /**
   * Opens a stand-in device of one ring or several; every ring is this process's, or none.
   *
   * @throws TapdiskError SHM_IN_USE, and those of ringsOfStandIn and ShmDevice.open
   */
  static open(
    directory: string,
    blockDevice: BlockDevice,
    events: Pick<FrontendEvents, 'onStopped'>,
    watch?: WatchReadable,
  ): Frontend {
    const directories = ringsOfStandIn(directory);
    if (directories.length === 1) {
      return ShmFrontend.open(directories[0], blockDevice, events, watch);
    }
    const queues: ShmFrontend[] = [];
    // None of them looks awake (spinUs 0): the others' requests would wait meanwhile.
    const onStopped = (reason: TapdiskError): void => {
      for (const queue of queues) queue.stop(reason);
      events.onStopped(reason);
    };
    try {
      for (const [ringIndex, place] of directories.entries()) {
        queues.push(ShmFrontend.open(place, blockDevice, { onStopped }, watch, ringIndex, 0));
      }
    } catch (error) {
      for (const queue of queues) queue.giveBack();
      throw error;
    }
    return new ShmQueuesFrontend(`shm:${directory}`, queues);
  }

  get steadyMemory(): readonly MemoryArea[] {
    return this.queues.flatMap((queue) => queue.steadyMemory);
  }

  /** Of all queues together. */
  get counters(): Readonly<RingCounters> {
    const sum = newRingCounters();
    for (const { counters } of this.queues) {
      for (const name of Object.keys(sum) as (keyof RingCounters)[]) sum[name] += counters[name];
    }
    return sum;
  }

  get stopped(): TapdiskError | null {
    return this.queues.find((queue) => queue.stopped !== null)?.stopped ?? null;
  }

  get inFlight(): number {
    return this.queues.reduce((sum, queue) => sum + queue.inFlight, 0);
  }

  start(): void {
    for (const queue of this.queues) queue.start();
  }

  pause(): void {
    for (const queue of this.queues) queue.pause();
  }

  resume(): void {
    for (const queue of this.queues) queue.resume();
  }

  resized(): void {
    for (const queue of this.queues) queue.resized();
  }

  async drained(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    await Promise.all(this.queues.map((queue) => queue.drained(timeoutMs)));
  }

  /** Nothing is taken from any ring before all are waited for, so none keeps the others busy. */
  async close(): Promise<void> {
    this.pause();
    await this.drained();
    await Promise.all(this.queues.map((queue) => queue.close()));
  }
}
