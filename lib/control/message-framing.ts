/** Finds the messages in what reads of a FIFO return: one, several, or a part of one. */
import { MESSAGE_BYTES_MAX } from './limits';
import { describeMessage, HEADER_BYTES, lengthsOf, type Direction } from './messages';

/** Receives what the framing finds, in the order of the stream. */
export interface FrameSink {
  /** Exactly one message of a known type; its payload is still to be checked. */
  message(bytes: Buffer): void;
  /** Bytes that are dropped, and why. `header` is null where there was none to trust. */
  refused(
    reason: string,
    header: { type: number; driverType: number; cookie: number } | null,
  ): void;
}

/**
 * Reassembles by the header's len. Writers put each message into the pipe by one atomic write of at
 * most 4096 bytes, so a read begins at a message; hence, where len cannot be believed (1 to 15, above
 * 4096, or a bad type and len), the rest of that read is dropped and the next read begins afresh.
 * A len of 0, the reference tapdisk's habit in IMG, means the type's own length, or all that
 * the read returned.
 */
export class MessageFraming {
  private part = Buffer.alloc(0);

  constructor(
    private readonly direction: Direction,
    private readonly sink: FrameSink,
  ) {}

  /** Bytes of a message whose rest has not come: never more than 4095. */
  get partialBytes(): number {
    return this.part.length;
  }

  /** Takes what one read returned. */
  push(read: Buffer): void {
    let rest = this.part.length === 0 ? read : Buffer.concat([this.part, read]);
    this.part = Buffer.alloc(0);
    while (rest.length > 0) {
      if (rest.length < HEADER_BYTES) {
        this.part = Buffer.from(rest);
        return;
      }
      const lengthBytes = this.nextLength(rest);
      if (lengthBytes === 0) return;
      if (lengthBytes > rest.length) {
        this.part = Buffer.from(rest);
        return;
      }
      this.hand(rest.subarray(0, lengthBytes));
      rest = rest.subarray(lengthBytes);
    }
  }

  /** Gives the awaited part up; the next read begins a message. */
  dropPartial(): void {
    if (this.part.length === 0) return;
    const header = this.part.length < HEADER_BYTES ? null : headerOf(this.part);
    const bytes = this.part.length;
    this.part = Buffer.alloc(0);
    this.sink.refused(`the rest of a message did not come after ${bytes} bytes`, header);
  }

  private hand(bytes: Buffer): void {
    const header = headerOf(bytes);
    if (describeMessage(header.type, this.direction) === undefined) {
      this.sink.refused(`unknown type ${header.type}`, header);
    } else {
      this.sink.message(Buffer.from(bytes));
    }
  }

  /** The next message's length, or 0 after the rest of the read had to be dropped. */
  private nextLength(rest: Buffer): number {
    const header = headerOf(rest);
    const row = describeMessage(header.type, this.direction);
    const lengths = row === undefined ? [] : lengthsOf(row.payload);
    const len = rest.readUInt16LE(2);
    if (len === 0 && row !== undefined) {
      const lengthBytes = lengths?.length === 1 ? lengths[0] : rest.length;
      if (lengthBytes <= MESSAGE_BYTES_MAX) return lengthBytes;
    } else if (len >= HEADER_BYTES && len <= MESSAGE_BYTES_MAX) {
      // A wrong len that stays within the read loses that message alone; beyond it, it could only
      // swallow the messages that follow.
      if (len <= rest.length || lengths === null || lengths.includes(len)) return len;
    }
    const dropped = `${rest.length} bytes dropped`;
    this.sink.refused(`type ${header.type} cannot have len ${len}, ${dropped}`, header);
    return 0;
  }
}

function headerOf(bytes: Buffer): { type: number; driverType: number; cookie: number } {
  return {
    type: bytes.readUInt16LE(0),
    driverType: bytes.readUInt16LE(4),
    cookie: bytes.readUInt16LE(6),
  };
}
