/** Memory for large requests, shared by all connections of a server up to one limit. */
import { assert } from '../../assert';
import { type Mapping, mapZeroed } from '../../../native-bindings/mapping';
import { LARGE_REQUESTS_BYTES_MAX, LARGE_REQUESTS_KEPT_BYTES_MAX } from './limits';

export class LargeAreas {
  /** Bytes of the areas given out. */
  private takenBytes = 0;
  private keptBytes = 0;
  /** Given back and not unmapped: the next request finds its pages touched already. */
  private readonly kept: Mapping[] = [];
  private waiting: (() => void)[] = [];
  private isWakeUpAskedFor = false;

  constructor(private readonly limitBytes = LARGE_REQUESTS_BYTES_MAX) {}

  /**
   * An area of at least `lengthBytes`, less than twice that; or null while the limit is reached or
   * others wait already. Then `onRoom` is called once, when it is worth another try.
   */
  take(lengthBytes: number, onRoom: () => void): Mapping | null {
    const size = 2 ** Math.ceil(Math.log2(lengthBytes));
    assert(size <= this.limitBytes, 'the limit has room for any one request');
    if (this.waiting.length > 0 || this.takenBytes + size > this.limitBytes) {
      if (!this.waiting.includes(onRoom)) this.waiting.push(onRoom);
      return null;
    }
    this.takenBytes += size;
    const found = this.kept.findIndex((area) => area.bytes.length === size);
    if (found < 0) return mapZeroed(size);
    this.keptBytes -= size;
    return this.kept.splice(found, 1)[0];
  }

  /** Nothing may use the area any more. */
  give(area: Mapping): void {
    const size = area.bytes.length;
    this.takenBytes -= size;
    if (this.keptBytes + size <= LARGE_REQUESTS_KEPT_BYTES_MAX) {
      this.kept.push(area);
      this.keptBytes += size;
    } else {
      area.unmap();
    }
    this.wakeUp();
  }

  /** For one that waits no more. */
  forget(onRoom: () => void): void {
    this.waiting = this.waiting.filter((waiting) => waiting !== onRoom);
    this.wakeUp();
  }

  /** Unmaps what is kept; nothing is given out now. */
  close(): void {
    assert(this.takenBytes === 0, 'large areas end when none is in use');
    for (const area of this.kept.splice(0)) area.unmap();
    this.keptBytes = 0;
  }

  /** In a turn of its own: whoever gives an area back is in the middle of something. */
  private wakeUp(): void {
    if (this.isWakeUpAskedFor || this.waiting.length === 0) return;
    this.isWakeUpAskedFor = true;
    setImmediate(() => {
      this.isWakeUpAskedFor = false;
      // Those for whom there is no room yet come again, in the same order.
      for (const onRoom of this.waiting.splice(0)) onRoom();
    });
  }
}
