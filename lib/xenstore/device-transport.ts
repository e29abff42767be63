/** The kernel's device, /dev/xen/xenbus: the way in where xenstored runs in another domain. */
import { closeSync, constants, openSync } from 'node:fs';
import { readNow, writeNow } from '../../native-bindings/doorbell-io';
import { type Watch, watchReadable } from '../../native-bindings/readiness';
import { DEVICE_MESSAGE_BYTES_MAX, DEVICE_READ_BYTES } from './limits';
import type { Transport, TransportEvents } from './transport';

const EAGAIN = -11;

/** Throws the system's error where it cannot be opened. */
export function openDevice(path: string): Transport {
  return new DeviceTransport(path, openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
}

/**
 * Linux (drivers/xen/xenbus/xenbus_dev_frontend.c) keeps a lock of the open file while it asks
 * xenstored for a watch, and its thread that takes all of xenstored's answers wants the same lock for
 * the answer to anything that was asked before. So a watch that is written while another answer is
 * due stops xenstore for the whole kernel, for good: one message at a time.
 */
class DeviceTransport implements Transport {
  readonly messageBytesMax = DEVICE_MESSAGE_BYTES_MAX;
  readonly takesSeveral = false;
  private watch: Watch | null = null;
  private events: TransportEvents | null = null;
  private isOver = false;

  constructor(
    readonly path: string,
    private readonly fd: number,
  ) {}

  start(events: TransportEvents): void {
    this.events = events;
    this.watch = watchReadable(this.fd, () => this.receive());
  }

  send(message: Buffer): void {
    if (this.isOver) return;
    const written = writeNow(this.fd, message);
    // Not from here: whoever sends is not ready to hear that the connection is gone.
    if (written !== message.length) setImmediate(() => this.end(`write answers ${written}`));
  }

  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.watch?.stop();
    closeSync(this.fd);
  }

  private receive(): void {
    while (!this.isOver) {
      const chunk = Buffer.allocUnsafe(DEVICE_READ_BYTES);
      const length = readNow(this.fd, chunk);
      if (length === EAGAIN) return;
      if (length <= 0) return this.end(`read answers ${length}`);
      this.events?.bytes(chunk.subarray(0, length));
    }
  }

  private end(reason: string): void {
    if (this.isOver) return;
    this.close();
    this.events?.lost(reason);
  }
}
