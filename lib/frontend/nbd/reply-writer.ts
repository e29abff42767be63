/**
 * Sends a connection's replies: all that are ready by one system call, straight from their memory.
 *
 * What the socket does not take at once, and everything where there is no short cut (TLS, no
 * addon), goes through Node's stream. At most as many replies wait as a connection has slots.
 */
import type { Socket } from 'node:net';
import { PIECES_MAX, PieceList } from '../../../native-bindings/stream-socket';
import { assert } from '../../assert';
import { REQUESTS_IN_FLIGHT_MAX } from './limits';
import type { RequestSlots } from './request-slots';

/** A header and a payload. */
const PIECES_PER_REPLY = 2;
const EAGAIN = -11;

/** Sending is synchronous, so all connections of a process take turns with one list. */
const pieces = PieceList.create();

export class ReplyWriter {
  /** Replies sent in whole. */
  sent = 0;
  private readonly queue = new Uint16Array(REQUESTS_IN_FLIGHT_MAX);
  private first = 0;
  private count = 0;
  /** Bytes of the first reply that are sent already. */
  private skipBytes = 0;
  /** Replies at the head of the queue that Node's stream has and has not sent. */
  private streaming = 0;

  constructor(
    private readonly slots: RequestSlots,
    private readonly socket: Socket,
    /** The socket's descriptor, or -1 where it must not be written to directly. */
    private readonly fd: number,
    /** Called after slots became free outside of `flush`. */
    private readonly onSent: () => void,
  ) {}

  /** Replies that are not sent in whole. */
  get waiting(): number {
    return this.count;
  }

  /** A slot's header and length are set; its reply goes out with the next `flush`. */
  push(slot: number): void {
    assert(this.count < REQUESTS_IN_FLIGHT_MAX, 'a slot has one reply');
    this.queue[(this.first + this.count++) % REQUESTS_IN_FLIGHT_MAX] = slot;
  }

  /** Hands over what is ready; frees the slots of the replies that are sent. */
  flush(): void {
    if (this.count === 0 || this.streaming > 0 || this.socket.destroyed) return;
    // What the stream still holds (of the negotiation) comes first.
    if (this.fd >= 0 && pieces !== null && this.socket.writableLength === 0) {
      this.sendDirectly(pieces);
    }
    if (this.count > 0 && !this.socket.destroyed) this.sendByStream();
  }

  private sendDirectly(list: PieceList): void {
    while (this.count > 0) {
      this.gather(list);
      const wanted = list.lengthBytes;
      const sent = list.send(this.fd);
      if (sent < 0) {
        if (sent !== EAGAIN) this.socket.destroy();
        return;
      }
      this.advance(sent);
      if (sent < wanted) return;
    }
  }

  private gather(list: PieceList): void {
    const { slots, queue } = this;
    const { memory } = slots;
    list.clear();
    let skip = this.skipBytes;
    const most = Math.min(this.count, PIECES_MAX / PIECES_PER_REPLY);
    for (let i = 0; i < most; i++) {
      const slot = queue[(this.first + i) % REQUESTS_IN_FLIGHT_MAX];
      const headerLength = slots.headerLengths[slot];
      const length = slots.replyLengths[slot];
      if (skip < headerLength) {
        list.add(memory, slots.headerOffsetOf(slot) + skip, headerLength - skip);
        skip = 0;
      } else {
        skip -= headerLength;
      }
      if (length > 0) list.add(slots.areaOf(slot), slots.offsetOf(slot) + skip, length - skip);
      skip = 0;
    }
  }

  /** So many more bytes are sent: frees the slots whose replies are complete. */
  private advance(bytes: number): void {
    const { slots, queue } = this;
    this.skipBytes += bytes;
    while (this.count > 0) {
      const slot = queue[this.first];
      const length = slots.headerLengths[slot] + slots.replyLengths[slot];
      if (this.skipBytes < length) return;
      this.skipBytes -= length;
      this.shift();
    }
  }

  private shift(): void {
    this.slots.give(this.queue[this.first]);
    this.first = (this.first + 1) % REQUESTS_IN_FLIGHT_MAX;
    this.count--;
    this.sent++;
  }

  private sendByStream(): void {
    const { slots, queue, socket } = this;
    let skip = this.skipBytes;
    this.skipBytes = 0;
    this.streaming = this.count;
    socket.cork();
    for (let i = 0; i < this.count; i++) {
      const slot = queue[(this.first + i) % REQUESTS_IN_FLIGHT_MAX];
      const header = slots.headerOffsetOf(slot);
      const headerLength = slots.headerLengths[slot];
      const length = slots.replyLengths[slot];
      const whenSent = i === this.count - 1 ? this.streamed : undefined;
      if (skip < headerLength) {
        const bytes = slots.memory.bytes.subarray(header + skip, header + headerLength);
        socket.write(bytes, length === 0 ? whenSent : undefined);
        skip = 0;
      } else {
        skip -= headerLength;
      }
      if (length > 0) {
        const offset = slots.offsetOf(slot);
        const { bytes } = slots.areaOf(slot);
        socket.write(bytes.subarray(offset + skip, offset + length), whenSent);
        skip = 0;
      }
    }
    socket.uncork();
  }

  private readonly streamed = (error?: Error | null): void => {
    // The socket then ends, and all slots with it.
    if (error) return;
    for (; this.streaming > 0; this.streaming--) this.shift();
    this.flush();
    this.onSent();
  };
}
