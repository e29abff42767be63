/** A chunk whose owner is changing: transfers to it wait here until the map says the new one. */
import type { ChunkIo } from '../store/chunk-io';
import { IoQueue } from '../store/io-queue';

export class ChunkTransition {
  private readonly parked = new IoQueue();
  private readonly whenOver: (() => void)[] = [];

  constructor(readonly chunk: number) {}

  park(io: ChunkIo): void {
    this.parked.push(io);
  }

  /** Calls back when the transition is over. */
  whenDone(callback: () => void): void {
    this.whenOver.push(callback);
  }

  /** Ends it: every waiting transfer goes the ordinary way again, in its order. */
  end(resubmit: (io: ChunkIo) => void): void {
    for (let io = this.parked.shift(); io !== null; io = this.parked.shift()) resubmit(io);
    for (const callback of this.whenOver) callback();
  }
}
