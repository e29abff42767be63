/** The stand-in's two doorbells: FIFOs that carry one byte a ring. */
import { readNow, writeNow } from '../../../native-bindings/doorbell-io';
import * as posix from '../../../native-bindings/posix';
import { type Watch, type WatchReadable, watchReadable } from '../../../native-bindings/readiness';
import { DOORBELL_READ_BYTES, DOORBELL_READS_PER_WAKEUP_MAX } from '../limits';
import type { ShmDevice } from './shm-device';

/** "Look at the ring": any byte that is not the other one. */
const BYTE_RING = 0;
/** "Look at my state file, too." Never said on the data path, so that costs no file access. */
const BYTE_STATE = 0x73;

export interface Rings {
  /** Something was read: look at the ring. */
  any: boolean;
  /** The other side has changed its state file. */
  state: boolean;
}

/** One side's pair: it hears one FIFO and rings the other. */
export class ShmDoorbell {
  private readonly hearFd: number;
  private readonly ringFd: number;
  private readonly bytes = Buffer.alloc(DOORBELL_READ_BYTES);
  private readonly heard: Rings = { any: false, state: false };
  private readonly ringByte = Buffer.from([BYTE_RING]);
  private readonly stateByte = Buffer.from([BYTE_STATE]);
  private watch: Watch | null = null;
  private isClosed = false;

  constructor(device: ShmDevice, side: 'front' | 'back') {
    const [hear, ring] =
      side === 'back'
        ? (['toBackEnd', 'toFrontEnd'] as const)
        : (['toFrontEnd', 'toBackEnd'] as const);
    // For reading and writing: opening never waits for the other side, nor is there an end.
    const flags = posix.O_RDWR | posix.O_NONBLOCK;
    this.hearFd = posix.open(device.pathOf(hear), flags);
    try {
      this.ringFd = posix.open(device.pathOf(ring), flags);
    } catch (error) {
      posix.close(this.hearFd);
      throw error;
    }
  }

  /** `onRing` may be called without anything to hear. */
  listen(onRing: () => void, watch: WatchReadable = watchReadable): void {
    this.watch = watch(this.hearFd, onRing);
  }

  /** Whether listening keeps the process alive. */
  keepAlive(wanted: boolean): void {
    this.watch?.keepAlive(wanted);
  }

  /**
   * Reads the FIFO empty, or as far as the limit allows: what is left makes no difference, since
   * the ring is looked at anyway. The answer is the same object each time.
   */
  hear(): Readonly<Rings> {
    const { heard, bytes } = this;
    heard.any = false;
    heard.state = false;
    if (this.isClosed) return heard;
    for (let reads = 0; reads < DOORBELL_READS_PER_WAKEUP_MAX; reads++) {
      const length = readNow(this.hearFd, bytes);
      if (length <= 0) break;
      heard.any = true;
      for (let at = 0; at < length; at++) heard.state ||= bytes[at] === BYTE_STATE;
      if (length < bytes.length) break;
      // So full a FIFO may have refused the byte that we must not miss.
      heard.state = true;
    }
    return heard;
  }

  /** A full FIFO is as good as one more byte: the other side has not heard the others yet. */
  ring(): void {
    writeNow(this.ringFd, this.ringByte);
  }

  ringState(): void {
    writeNow(this.ringFd, this.stateByte);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.watch?.stop();
    posix.close(this.hearFd);
    posix.close(this.ringFd);
  }
}
